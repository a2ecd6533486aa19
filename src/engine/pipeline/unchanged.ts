/** An edit that changes nothing: the reference is the result, because decoding its latent would only lose detail. */
import { decodeImage } from '../image/image-codec.ts';
import type { Bitmap } from '../image/pixels.ts';
import { resizeLanczos } from '../image/resample.ts';
import type { Plan } from '../plan.ts';
import type { EngineWarning } from '../warnings.ts';
import type { Encoded } from './encode.ts';

/**
 * Mean square of a token's difference, in latents of unit variance. Copies of the embedded model's references differ by 0.008
 * at most after 8 steps, and the least of its edits changes a token by 0.07.
 */
const copied = 0.03;

export const unchangedWarning: EngineWarning = {
  code: 'instructionUnknown',
  message:
    'The picture is unchanged: either it already was as requested, or the embedded model did not recognise the instruction.',
};

/** Whether the tokens x of the result are those of the reference, by a model that tells known instructions from others. */
export function isCopy(x: Float32Array, { recognised, given, latent }: Encoded): boolean {
  const { references } = given;
  if (recognised === undefined || references.length !== x.length) return false;
  const width = 4 * latent.channels;
  for (let token = 0; token < x.length; token += width) {
    let sum = 0;
    for (let i = token; i < token + width; i++) sum += (x[i]! - references[i]!) ** 2;
    if (sum / width > copied) return false;
  }
  return true;
}

/** The only reference at the plan's size, unless adapters are used, which change any picture. */
export async function onlyReference(plan: Plan): Promise<Bitmap | undefined> {
  const { references, loras, ipAdapters, width, height } = plan;
  if (references.length !== 1 || loras.length > 0 || ipAdapters.length > 0) return undefined;
  return resizeLanczos(await decodeImage(references[0]!), width, height);
}
