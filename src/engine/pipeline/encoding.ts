/** What a plan is conditioned on, as tensors: its prompts and its references. */
import { createHash } from 'node:crypto';
import { encodeGuides, type Guides, guidesKey } from '../adapters/ip-adapter/guides.ts';
import { decodeImage, resizeReference } from '../image/image-codec.ts';
import { type Bitmap, padBitmap, toPlanar } from '../image/pixels.ts';
import { padSize, type Size } from '../image/sizes.ts';
import { type LatentShape, pack } from '../latents/packing.ts';
import { guidanceInput } from '../latents/timestep.ts';
import { referenceIds, type TokenGrid, targetIds, textIds } from '../latents/token-ids.ts';
import type { EncodedPrompt } from '../networks/text-encoder.ts';
import type { Conditioning } from '../networks/transformer.ts';
import type { Plan } from '../plan.ts';
import { joinFloats } from '../weights/floats.ts';
import type { WeightSource } from '../weights/source.ts';
import { type Events, staged } from './events.ts';
import { Memo } from './memo.ts';
import type { LoadedModel } from './model.ts';

export type Encoded = {
  given: Conditioning;
  negative: Conditioning | undefined;
  /** The target's latent and the picture it decodes to, larger than asked for where the strides need it. */
  latent: LatentShape;
  canvas: Size;
  /** Sentences about what of the prompts is not read. */
  warnings: string[];
};

type Texts = { prompt: EncodedPrompt; negative: EncodedPrompt | undefined };
/** Packed reference latents, one after the other, and the tokens each takes. */
type Pictures = { packed: Float32Array; grids: TokenGrid[]; sizes: Size[] };

/**
 * Encodes plans, keeping the last results: those of one task differ in their seed only, and encoding them all would
 * load the encoders again for each where memory holds only some networks at a time.
 */
export class EncodingMemo {
  /** Two: a picture and the faces in it may have prompts of their own. */
  private readonly texts = new Memo<Texts>(2);
  private readonly pictures = new Memo<Pictures>(1);
  private readonly guides = new Memo<Guides>(1);

  async *encode(plan: Plan, model: LoadedModel): Events<Encoded> {
    const begin = performance.now();
    const { texts, pictures } = keysOf(plan, model);
    const encodedTexts = yield* this.texts.get(texts, () => encodeTexts(plan, model));
    const encodedPictures = yield* this.pictures.get(pictures, () => encodeReferences(plan, model));
    const guides = yield* this.guides.get(guidesKey(plan, model), () => encodeGuides(plan, model));
    const { sizes: references } = encodedPictures;
    yield { type: 'encode-end', milliseconds: performance.now() - begin, references };
    for (const message of cutTexts(encodedTexts)) yield { type: 'warning', message };
    return join(plan, model, encodedTexts, encodedPictures, guides);
  }

  /** With one reference, of a size the model works at, that no other plan will have, and without guide pictures. */
  async *encodePart(plan: Plan, model: LoadedModel, part: Bitmap): Events<Encoded> {
    const texts = yield* this.texts.get(keysOf(plan, model).texts, () => encodeTexts(plan, model));
    const { tokens, grid } = yield* encodePicture(part, model);
    return join(plan, model, texts, { packed: tokens, grids: [grid], sizes: [part] });
  }
}

/** Everything of a plan that its encoding depends on. */
function keysOf(
  plan: Plan,
  { precision, components, loras }: LoadedModel,
): { texts: string; pictures: string } {
  const { prompt, negativePrompt, references, trueCfg, numerics } = plan;
  const files = (...parts: { source: WeightSource }[]) =>
    parts.flatMap(({ source }) => source.checkpoint.files);
  const { t5, clip, autoencoder } = components;
  const opposite = trueCfg > 1 ? negativePrompt : undefined;
  const pictures = createHash('sha256');
  pictures.update(JSON.stringify({ files: files(autoencoder), precision, numerics }));
  for (const bytes of references) pictures.update(`${bytes.length}:`).update(bytes);
  return {
    texts: JSON.stringify({
      files: files(t5, clip),
      precision,
      numerics,
      prompt,
      opposite,
      loras: loras.textKey(),
    }),
    pictures: pictures.digest('hex'),
  };
}

async function* encodeTexts(plan: Plan, model: LoadedModel): Events<Texts> {
  const text = yield* staged('encode', model.textEncoder());
  const updates = model.loras.text();
  return {
    prompt: await text.encode(plan.prompt, updates),
    negative: plan.trueCfg > 1 ? await text.encode(plan.negativePrompt, updates) : undefined,
  };
}

async function* encodeReferences({ references }: Plan, model: LoadedModel): Events<Pictures> {
  const packed: Float32Array[] = [];
  const grids: TokenGrid[] = [];
  const sizes: Size[] = [];
  for (const [i, bytes] of references.entries()) {
    yield {
      type: 'stage-progress',
      stage: 'encode',
      message: 'encoding references',
      fraction: i / references.length,
    };
    const fitted = resizeReference(await decodeImage(bytes));
    sizes.push({ width: fitted.width, height: fitted.height });
    const { tokens, grid } = yield* encodePicture(fitted, model);
    packed.push(tokens);
    grids.push(grid);
  }
  return { packed: joinFloats(packed), grids, sizes };
}

/** At its own size, padded to what the network works at: packed tokens. */
export async function* encodePicture(
  picture: Bitmap,
  model: LoadedModel,
): Events<{ tokens: Float32Array; grid: TokenGrid }> {
  const { stride, latentChannels } = model.components.autoencoder.config;
  const bitmap = padBitmap(picture, padSize(picture, 2 * stride));
  const encoder = yield* staged('encode', model.encoder(bitmap));
  const shape = { channels: latentChannels, h: bitmap.height / stride, w: bitmap.width / stride };
  const tokens = pack(await encoder.encode(toPlanar(bitmap), bitmap), shape);
  return { tokens, grid: { rows: shape.h / 2, columns: shape.w / 2 } };
}

function join(
  plan: Plan,
  model: LoadedModel,
  texts: Texts,
  { packed, grids }: Pictures,
  guides?: Guides,
): Encoded {
  const { stride, latentChannels } = model.components.autoencoder.config;
  const canvas = padSize(plan, 2 * stride);
  const latent = { channels: latentChannels, h: canvas.height / stride, w: canvas.width / stride };
  const ids = joinFloats([
    textIds(texts.prompt.tokens),
    targetIds({ rows: latent.h / 2, columns: latent.w / 2 }),
    ...referenceIds(grids, plan.numerics.referenceIds),
  ]);
  const shared = {
    references: packed,
    ids,
    guidance: guidanceInput(plan.guidance, plan.numerics.timestepRounding),
  };
  return {
    given: { ...shared, ...texts.prompt, imagePrompt: guides?.given },
    negative: texts.negative && { ...shared, ...texts.negative, imagePrompt: guides?.negative },
    latent,
    canvas,
    warnings: cutTexts(texts),
  };
}

/** A sentence for each prompt that is longer than T5's window. CLIP, which only adds to it, reads 77 tokens of any. */
function cutTexts({ prompt, negative }: Texts): string[] {
  const names = [['prompt', prompt] as const, ...(negative ? [['negative prompt', negative] as const] : [])];
  return names
    .filter(([, { found, tokens }]) => found > tokens)
    .map(
      ([name, { found, tokens }]) =>
        `The ${name} has ${found} tokens, of which the model reads the first ${tokens}; the rest has no effect.`,
    );
}
