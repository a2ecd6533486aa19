/** Chooses the precision of a model on a device (docs/precision.md has the measurements). */
import { EngineError } from '../errors.ts';
import type { DeviceName } from '../onnx/device.ts';
import type { PrecisionName } from '../weights/conversion/layers.ts';
import type { ProductTimes } from './product-times.ts';

/**
 * On the CPU eight-bit products are twice as fast as f32 at real width, but below this width the work around the
 * products (scales, rounding) costs as much as they save. Measured; see docs/precision.md.
 */
const narrowestReduced = 1024;

/** The part of a plan's numerics that decides how products are computed. */
export type DeviceChoice = { device: DeviceName; precision: PrecisionChoice };

/** A precision, or `auto`: the best one measured for the device and the model's size (docs/precision.md). */
export type PrecisionChoice = PrecisionName | 'auto';

/** Precisions besides f32 that a device's self-test found right. */
export type Abilities = Record<'half' | 'widened' | 'int8' | 'blocks8' | 'blocks4', boolean>;

/** The inputs of the choice of `auto`. */
export type Candidates = {
  /** Width of the transformer. */
  hidden: number;
  /** Whether the transformer fits the memory in a precision. */
  fits(precision: PrecisionName): boolean;
  /** Milliseconds of a product on a GPU (product-times.ts). */
  times: ProductTimes;
};

/** @throws RetouchError `precisionUnsupported` when the device computes the plan's precision wrongly or not at all */
export function choosePrecision(
  { device, precision }: DeviceChoice,
  candidates: Candidates,
  abilities: Abilities,
): PrecisionName {
  const able = ablePrecisions(abilities);
  if (precision === 'auto') return device === 'cpu' ? forCpu(candidates, able) : forGpu(candidates, able);
  if (able.includes(precision)) return precision;
  throw new EngineError(
    'precisionUnsupported',
    `${precision} is not computed on ${device} here, or not rightly; available: ${able.join(', ')}`,
    { device, precision },
  );
}

export function ablePrecisions({ half, widened, int8, blocks8, blocks4 }: Abilities): PrecisionName[] {
  const able: Record<PrecisionName, boolean> = {
    f32: true,
    f16: half || widened,
    int8,
    'int8-blocks': blocks8,
    int4: blocks4,
  };
  return Object.entries(able).flatMap(([name, right]) => (right ? [name as PrecisionName] : []));
}

function forCpu({ hidden }: Candidates, able: readonly PrecisionName[]): PrecisionName {
  return able.includes('int8') && hidden >= narrowestReduced ? 'int8' : 'f32';
}

/** The more exact first. Rounding to four bits shows in images: it is taken only where nothing else fits. */
const exactness = ['f32', 'f16', 'int8-blocks'] as const satisfies readonly PrecisionName[];

/** Times that differ less are taken for equal, and the more exact precision wins. */
const sameTime = 1.1;

/**
 * f32 for models too narrow to gain by anything else. Of the precisions that fit the memory the fastest, int4 being the last resort. Where none fits the smallest is named:
 * loading then says what is missing.
 */
function forGpu({ hidden, fits, times }: Candidates, able: readonly PrecisionName[]): PrecisionName {
  if (hidden < narrowestReduced && fits('f32')) return 'f32';
  const fitting = exactness.filter((name) => able.includes(name) && fits(name));
  const time = (name: (typeof exactness)[number]) => times[name] ?? Number.POSITIVE_INFINITY;
  const best = Math.min(...fitting.map(time));
  const found = fitting.find((name) => time(name) <= best * sameTime);
  if (found) return found;
  const smallest = ['int4', 'int8-blocks', 'f16'] as const;
  return smallest.find((name) => able.includes(name)) ?? 'f32';
}

/** Bytes a weight by which ONNX Runtime's packed blocks are larger than the stored ones on the CPU. */
export const packedBytes = 4 / 32;

/**
 * Bytes of a weight once a device has loaded it, in blocks with or without an offset beside their scale. On the CPU ONNX Runtime
 * packs the blocks together with their scales and sums (matmul_nbits.cc). The scales' own pages stay mapped from the file;
 * they are not counted, since the kernel takes them back when it needs memory.
 */
export function bytesPerWeight(precision: PrecisionName, device: DeviceName, offsets: boolean): number {
  if (precision === 'f32') return 4;
  if (precision === 'f16') return 2;
  if (precision === 'int8') return 1;
  // A block of 32 has an f32 scale.
  const floats = 1 + (offsets ? 1 : 0);
  return (precision === 'int4' ? 0.5 : 1) + (4 * floats) / 32 + (device === 'cpu' ? packedBytes : 0);
}
