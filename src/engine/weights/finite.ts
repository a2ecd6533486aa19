/** Detects NaN and infinities: rounding to integers would turn them into ordinary numbers without an error. */
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import type { TensorEntry } from './stored.ts';

export function areFinite(values: Float32Array): boolean {
  // v − v is 0 for numbers and NaN for the rest: an addition for each, without a branch.
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! - values[i]!;
  return sum === 0;
}

/** @throws RetouchError `checkpointInvalid` that names the tensor the values are made from */
export function checkWeights<T extends Float32Array>(entry: TensorEntry, values: T): T {
  if (areFinite(values)) return values;
  throw notFinite(entry);
}

export function notFinite(entry: TensorEntry): RetouchError {
  return new EngineError(
    'checkpointInvalid',
    `${entry.file}: tensor ${entry.name} has numbers that are not finite (NaN or infinite): the file is damaged`,
    { path: entry.file, tensor: entry.name },
  );
}
