/** What a plan is conditioned on, as tensors: its prompts and its references. */
import { createHash } from 'node:crypto';
import { type Events, staged } from './events.ts';
import { decodeImage, resizeReference } from './image.ts';
import { type LatentShape, pack } from './latents.ts';
import type { LoadedModel } from './loaded-model.ts';
import { padBitmap, toPlanar } from './pixels.ts';
import type { Plan } from './plan.ts';
import { padSize, type Size } from './sizes.ts';
import { guidanceInput } from './timestep.ts';
import { referenceIds, type TokenGrid, targetIds, textIds } from './token-ids.ts';
import type { Conditioning } from './transformer.ts';
import { joinFloats } from './weights/floats.ts';

export type Encoded = {
  given: Conditioning;
  negative: Conditioning | undefined;
  /** The target's latent and the picture it decodes to, larger than asked for where the strides need it. */
  latent: LatentShape;
  canvas: Size;
};

/**
 * Encodes plans, keeping the last result: the results of one task differ in their seed only, and encoding them all
 * would load the encoders again for each where memory holds only some networks at a time.
 */
export class EncodingMemo {
  private last: { key: string; encoded: Encoded } | undefined;

  async *encode(plan: Plan, model: LoadedModel): Events<Encoded> {
    const key = keyOf(plan, model);
    if (this.last?.key === key) {
      yield { type: 'encode-end', milliseconds: 0 };
      return this.last.encoded;
    }
    this.last = undefined;
    const encoded = yield* encode(plan, model);
    this.last = { key, encoded };
    return encoded;
  }
}

/** Everything of a plan that its encoding depends on. */
function keyOf(plan: Plan, { precision, components }: LoadedModel): string {
  const { prompt, negativePrompt, references, width, height, guidance, trueCfg, numerics } = plan;
  const hash = createHash('sha256');
  const files = [components.t5, components.clip, components.autoencoder].flatMap(
    ({ source }) => source.checkpoint.files,
  );
  hash.update(
    JSON.stringify({ files, precision, prompt, negativePrompt, width, height, guidance, trueCfg, numerics }),
  );
  for (const bytes of references) hash.update(`${bytes.length}:`).update(bytes);
  return hash.digest('hex');
}

async function* encode(plan: Plan, model: LoadedModel): Events<Encoded> {
  const begin = performance.now();
  const text = yield* staged('encode', model.textEncoder());
  const prompt = await text.encode(plan.prompt);
  const opposite = plan.trueCfg > 1 ? await text.encode(plan.negativePrompt) : undefined;

  const { stride, latentChannels } = model.components.autoencoder.config;
  const gridOf = ({ width, height }: Size): TokenGrid => ({
    rows: height / (2 * stride),
    columns: width / (2 * stride),
  });
  const canvas = padSize(plan, 2 * stride);
  const grids: TokenGrid[] = [];
  const packed: Float32Array[] = [];
  for (const [i, bytes] of plan.references.entries()) {
    yield {
      type: 'stage-progress',
      stage: 'encode',
      message: 'encoding references',
      fraction: i / plan.references.length,
    };
    const resized = resizeReference(await decodeImage(bytes));
    const bitmap = padBitmap(resized, padSize(resized, 2 * stride));
    const encoder = yield* staged('encode', model.encoder(bitmap));
    const shape = { channels: latentChannels, h: bitmap.height / stride, w: bitmap.width / stride };
    packed.push(pack(await encoder.encode(toPlanar(bitmap), bitmap), shape));
    grids.push(gridOf(bitmap));
  }
  const ids = joinFloats([
    textIds(prompt.tokens),
    targetIds(gridOf(canvas)),
    ...referenceIds(grids, plan.numerics.referenceIds),
  ]);
  const shared = {
    references: joinFloats(packed),
    ids,
    guidance: guidanceInput(plan.guidance, plan.numerics.timestepRounding),
  };
  yield { type: 'encode-end', milliseconds: performance.now() - begin };
  return {
    given: { ...shared, ...prompt },
    negative: opposite && { ...shared, ...opposite },
    latent: { channels: latentChannels, h: canvas.height / stride, w: canvas.width / stride },
    canvas,
  };
}
