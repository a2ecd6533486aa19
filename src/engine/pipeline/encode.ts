/** The prompts, references and guide images of a plan as the tensors that the transformer is conditioned on. */
import { createHash } from 'node:crypto';
import { encodeIpAdapters, type ImagePrompts, ipAdaptersKey } from '../adapters/ip-adapter/encode.ts';
import { largestFace } from '../faces/detect.ts';
import { decodeImage, resizeReference } from '../image/image-codec.ts';
import { type Bitmap, padBitmap, toPlanar } from '../image/pixels.ts';
import { padSize, type Size } from '../image/sizes.ts';
import { type LatentShape, pack } from '../latents/packing.ts';
import { guidanceInput } from '../latents/timestep.ts';
import { referenceIds, type TokenGrid, targetIds, textIds } from '../latents/token-ids.ts';
import type { EncodedPrompt } from '../networks/text-encoder.ts';
import type { Conditioning } from '../networks/transformer.ts';
import type { Plan } from '../plan.ts';
import type { EngineWarning } from '../warnings.ts';
import { joinFloats } from '../weights/floats.ts';
import type { WeightSource } from '../weights/source.ts';
import { type Events, staged } from './events.ts';
import { Memo } from './memo.ts';
import type { Model } from './model.ts';

export type Encoded = {
  given: Conditioning;
  negative: Conditioning | undefined;
  /** The target's latent and the image it decodes to, which is larger than requested if the strides require it. */
  latent: LatentShape;
  canvas: Size;
  /** Whether the prompt asks for anything that the model knows; undefined for a model without an instruction head. */
  recognised: boolean | undefined;
  /** Prompts, or parts of them, that have no effect. */
  warnings: EngineWarning[];
};

const unknownInstruction: EngineWarning = {
  code: 'instructionUnknown',
  message: 'The embedded model did not recognise an instruction it knows.',
};

type Texts = { prompt: EncodedPrompt; negative: EncodedPrompt | undefined };
/** Packed reference latents, one after the other, and the tokens each takes. */
type References = { packed: Float32Array; grids: TokenGrid[]; sizes: Size[] };
type Parts = { texts: Texts; references: References; prompts?: ImagePrompts };

/**
 * Encodes plans, keeping the last results: the plans of one task differ in their seed only, and encoding them all would
 * load the encoders again for each where memory holds only some networks at a time.
 */
export class EncodingMemo {
  /** Two: an image and the faces in it may have prompts of their own. */
  private readonly texts = new Memo<Texts>(2);
  private readonly references = new Memo<References>(1);
  private readonly imagePrompts = new Memo<ImagePrompts>(1);

  async *encode(plan: Plan, model: Model): Events<Encoded> {
    const begin = performance.now();
    const keys = keysOf(plan, model);
    const texts = yield* this.texts.get(keys.texts, () => encodeTexts(plan, model));
    const references = yield* this.references.get(keys.references, () => encodeReferences(plan, model));
    const prompts = yield* this.imagePrompts.get(keys.imagePrompts, () => encodeGuides(plan, model));
    yield { type: 'encode-end', milliseconds: performance.now() - begin, references: references.sizes };
    for (const warning of textWarnings(texts)) yield { type: 'warning', ...warning };
    return join(plan, model, { texts, references, prompts });
  }

  /** Variant with a single reference of a supported size, not cached, and without guide images. */
  async *encodePart(plan: Plan, model: Model, part: Bitmap): Events<Encoded> {
    const texts = yield* this.texts.get(keysOf(plan, model).texts, () => encodeTexts(plan, model));
    const { tokens, grid } = yield* encodeReference(part, model);
    const references = { packed: tokens, grids: [grid], sizes: [part] };
    return join(plan, model, { texts, references });
  }
}

/** Everything that the encoding of a plan depends on. */
function keysOf(plan: Plan, model: Model): { texts: string; references: string; imagePrompts: string } {
  const { prompt, negativePrompt, references, trueCfg, numerics } = plan;
  const { components, compute } = model.opened;
  const { precision } = compute;
  const files = (...parts: { source: WeightSource }[]) =>
    parts.flatMap(({ source }) => source.checkpoint.files);
  const { t5, clip, autoencoder } = components;
  const opposite = trueCfg > 1 ? negativePrompt : undefined;
  const images = createHash('sha256');
  images.update(JSON.stringify({ files: files(autoencoder), precision, numerics }));
  for (const bytes of references) images.update(`${bytes.length}:`).update(bytes);
  return {
    texts: JSON.stringify({
      files: files(t5, clip),
      precision,
      numerics,
      prompt,
      opposite,
      loras: model.loras.textKey(),
    }),
    references: images.digest('hex'),
    imagePrompts: JSON.stringify([numerics, ipAdaptersKey(model.ipAdapters, trueCfg > 1)]),
  };
}

function encodeGuides({ trueCfg }: Plan, model: Model): Events<ImagePrompts> {
  const encoding = encodeIpAdapters(model.ipAdapters, trueCfg > 1, {
    model: model.opened,
    residents: model.residents,
    findFace: async function* (image, source) {
      return largestFace(yield* model.faceDetector(source), image);
    },
  });
  return staged('encode', encoding);
}

async function* encodeTexts(plan: Plan, model: Model): Events<Texts> {
  const text = yield* staged('encode', model.textEncoder());
  const updates = model.loras.text();
  yield { type: 'stage-progress', stage: 'encode', message: 'encoding the prompt', fraction: 0 };
  return {
    prompt: await text.encode(plan.prompt, updates),
    negative: plan.trueCfg > 1 ? await text.encode(plan.negativePrompt, updates) : undefined,
  };
}

async function* encodeReferences({ references }: Plan, model: Model): Events<References> {
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
    const { tokens, grid } = yield* encodeReference(fitted, model);
    packed.push(tokens);
    grids.push(grid);
  }
  return { packed: joinFloats(packed), grids, sizes };
}

/** The packed tokens of an image at its own size, padded to a size the network works at. */
export async function* encodeReference(
  image: Bitmap,
  model: Model,
): Events<{ tokens: Float32Array; grid: TokenGrid }> {
  const { stride, latentChannels } = model.opened.components.autoencoder.config;
  const bitmap = padBitmap(image, padSize(image, 2 * stride));
  const encoder = yield* staged('encode', model.imageEncoder(bitmap));
  const shape = { channels: latentChannels, h: bitmap.height / stride, w: bitmap.width / stride };
  const tokens = pack(await encoder.encode(toPlanar(bitmap), bitmap), shape);
  return { tokens, grid: { rows: shape.h / 2, columns: shape.w / 2 } };
}

function join(plan: Plan, model: Model, { texts, references, prompts }: Parts): Encoded {
  const { stride, latentChannels } = model.opened.components.autoencoder.config;
  const canvas = padSize(plan, 2 * stride);
  const latent = { channels: latentChannels, h: canvas.height / stride, w: canvas.width / stride };
  const ids = joinFloats([
    textIds(texts.prompt.tokens),
    targetIds({ rows: latent.h / 2, columns: latent.w / 2 }),
    ...referenceIds(references.grids, plan.numerics.referenceIds),
  ]);
  const shared = {
    references: references.packed,
    ids,
    guidance: guidanceInput(plan.guidance, plan.numerics.timestepRounding),
  };
  return {
    given: { ...shared, ...texts.prompt, imagePrompt: prompts?.given },
    negative: texts.negative && { ...shared, ...texts.negative, imagePrompt: prompts?.negative },
    latent,
    canvas,
    recognised: texts.prompt.recognised,
    warnings: textWarnings(texts),
  };
}

function textWarnings(texts: Texts): EngineWarning[] {
  return [...cutTexts(texts), ...(texts.prompt.recognised === false ? [unknownInstruction] : [])];
}

/** A warning for each prompt that is longer than T5's window. CLIP's shorter window (77 tokens) causes none. */
function cutTexts({ prompt, negative }: Texts): EngineWarning[] {
  const names = [['prompt', prompt] as const, ...(negative ? [['negative prompt', negative] as const] : [])];
  return names
    .filter(([, { found, tokens }]) => found > tokens)
    .map(([name, { found, tokens }]) => ({
      code: 'promptTruncated',
      message: `The ${name} has ${found} tokens, of which the model reads the first ${tokens}; the rest has no effect.`,
    }));
}
