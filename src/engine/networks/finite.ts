/** Checks that a network's outputs are finite: NaN and infinities would become black pixels. */
import { EngineError } from '../errors.ts';
import { areFinite } from '../weights/finite.ts';

/**
 * @param what names the output; `who` names the network and the location of its weights
 * @throws RetouchError `outputNotFinite`
 */
export function checkFinite(values: Float32Array, what: string, who: string): Float32Array {
  const causes =
    "its weights or those of a LoRA are damaged, a LoRA's weight is too large, or the precision cannot hold its numbers";
  return checkOutput(values, { what, who, causes });
}

/** `checkFinite` for networks without LoRAs that compute in f32: a NaN of a classifier would be below its threshold. */
export function checkTool(values: Float32Array, what: string, who: string): Float32Array {
  return checkOutput(values, { what, who, causes: 'its weights are damaged' });
}

function checkOutput(
  values: Float32Array,
  { what, who, causes }: { what: string; who: string; causes: string },
): Float32Array {
  if (areFinite(values)) return values;
  const odd = values.find((value) => !Number.isFinite(value));
  throw new EngineError('outputNotFinite', `${what} of ${who} is not finite (it has ${odd}): ${causes}.`, {
    network: who,
  });
}
