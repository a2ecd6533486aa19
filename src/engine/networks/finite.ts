/** Whether a network gives numbers: NaN and infinities would become black pixels. */
import { EngineError } from '../errors.ts';
import { areFinite } from '../weights/finite.ts';

/**
 * @param what of the network's results the values are, and `who` gave them: the network and where its weights are
 * @throws RetouchError `outputNotFinite`
 */
export function checkFinite(values: Float32Array, what: string, who: string): Float32Array {
  if (areFinite(values)) return values;
  const odd = values.find((value) => !Number.isFinite(value));
  throw new EngineError(
    'outputNotFinite',
    `${what} of ${who} is not finite (it has ${odd}): its weights or those of a LoRA are damaged, a LoRA's weight is too large, or the precision cannot hold its numbers.`,
    { network: who },
  );
}
