/** Which arithmetic a model is computed in on a device (docs/precision.md has the measurements). */
import type { FluxConfig } from './models/flux-config.ts';
import type { DeviceName, Numerics, PrecisionName } from './plan.ts';

/**
 * On the CPU eight-bit products are twice as fast as f32 at real width, but below this width what surrounds the
 * products (finding scales, rounding) costs what they save. Measured; see docs/precision.md.
 */
const narrowestInt8 = 1024;

export function choosePrecision(
  { device, precision }: Numerics,
  config: FluxConfig,
  halfPrecision: boolean,
): PrecisionName {
  if (precision !== 'auto') return precision;
  if (device === 'cpu') return config.hidden >= narrowestInt8 ? 'int8' : 'f32';
  return halfPrecision ? 'f16' : 'f32';
}

/** Bytes that a stored number of `values` weights occupies once loaded. */
export function bytesPerWeight(precision: PrecisionName, device: DeviceName): number {
  if (precision === 'int8') return 1;
  return precision === 'f16' && device !== 'cpu' ? 2 : 4;
}
