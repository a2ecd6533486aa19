/** Chooses the precision of a model on a device (docs/precision.md has the measurements). */
import { EngineError } from '../errors.ts';
import type { FluxConfig } from '../models/flux-config.ts';
import type { DeviceName } from '../onnx/device.ts';
import type { PrecisionName } from '../weights/prepared.ts';

/**
 * On the CPU eight-bit products are twice as fast as f32 at real width, but below this width the work around the
 * products (scales, rounding) costs as much as they save. Measured; see docs/precision.md.
 */
const narrowestInt8 = 1024;

/** The part of a plan's numerics that decides how products are computed. */
export type DeviceChoice = { device: DeviceName; precision: PrecisionChoice };

/** A precision, or `auto`: the best one measured for the device and the model's size (docs/precision.md). */
export type PrecisionChoice = PrecisionName | 'auto';

/** Precisions besides f32 that a device's self-test found right. */
export type Abilities = Record<'half' | 'widened' | 'int8' | 'blocks8' | 'blocks4', boolean>;

/** @throws RetouchError `precisionUnsupported` when the device computes the plan's precision wrongly or not at all */
export function choosePrecision(
  { device, precision }: DeviceChoice,
  config: FluxConfig,
  { half, widened, int8, blocks8, blocks4 }: Abilities,
): PrecisionName {
  const able: Record<PrecisionName, boolean> = {
    f32: true,
    f16: half || widened,
    int8,
    'int8-blocks': blocks8,
    int4: blocks4,
  };
  if (precision === 'auto') {
    if (device !== 'cpu') return able.f16 ? 'f16' : 'f32';
    return int8 && config.hidden >= narrowestInt8 ? 'int8' : 'f32';
  }
  if (able[precision]) return precision;
  const rest = Object.entries(able).flatMap(([name, right]) => (right ? [name] : []));
  throw new EngineError(
    'precisionUnsupported',
    `${precision} is not computed on ${device} here, or not rightly; available: ${rest.join(', ')}`,
    { device, precision },
  );
}

/** Bytes of a weight once it is loaded. */
export function bytesPerWeight(precision: PrecisionName): number {
  if (precision === 'f32') return 4;
  if (precision === 'f16') return 2;
  if (precision === 'int8') return 1;
  // A block of 32 has an f32 scale, and with types that have a minimum an f32 offset: counted for all.
  return (precision === 'int4' ? 0.5 : 1) + 8 / 32;
}
