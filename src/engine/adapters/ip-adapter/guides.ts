/** A plan's IP-Adapters and guide pictures as inputs of the transformer, computed once for all steps. */
import { createHash } from 'node:crypto';
import { RetouchError } from '../../../error.ts';
import { decodeImage } from '../../image/image-codec.ts';
import type { Bitmap } from '../../image/pixels.ts';
import { type Events, staged } from '../../pipeline/events.ts';
import type { LoadedModel } from '../../pipeline/model.ts';
import type { Plan } from '../../plan.ts';
import { combine } from './combine.ts';
import { blackGuide, cropAround } from './guide-image.ts';
import { type Guidance, type ImagePrompt, joinGuidance } from './image-prompt.ts';
import type { OpenGuide } from './open.ts';
import { embedScalings, type KeyValue } from './scaling.ts';
import { layerWeights } from './weights.ts';

export type Guides = { given: ImagePrompt | undefined; negative: ImagePrompt | undefined };

/** Everything of a plan that `encodeGuides` depends on. */
export function guidesKey({ ipAdapters, trueCfg, numerics }: Plan, { guides }: LoadedModel): string {
  const hash = createHash('sha256');
  const files = guides.flatMap(({ adapter, encoder }) => [
    ...adapter.source.checkpoint.files,
    ...encoder.source.checkpoint.files,
  ]);
  const asked = ipAdapters.map(({ guides, ...rest }) => ({ ...rest, guides: guides.length }));
  hash.update(JSON.stringify({ files, asked, numerics, opposite: trueCfg > 1 }));
  for (const { guides } of ipAdapters)
    for (const bytes of guides) hash.update(`${bytes.length}:`).update(bytes);
  return hash.digest('hex');
}

/** The negative pass of classifier-free guidance sees a black picture (diffusers `FluxIPAdapterMixin`, x-flux). */
export async function* encodeGuides({ trueCfg }: Plan, model: LoadedModel): Events<Guides> {
  const given: Guidance[] = [];
  const negative: Guidance[] = [];
  for (const guide of model.guides) {
    const pictures = yield* encodePictures(guide, model);
    const black = trueCfg > 1 ? yield* encodeBlack(guide, model) : undefined;
    const adapter = yield* staged('encode', model.ipAdapter(guide));
    const features = combine(pictures, guide.planned.combineMethod);
    given.push(weigh(guide, await adapter.project(features)));
    if (black) negative.push(weigh(guide, await adapter.project([black])));
  }
  const join = (guidance: Guidance[]) =>
    guidance.length > 0 ? joinGuidance(guidance, model.components.transformer.config) : undefined;
  return { given: join(given), negative: join(negative) };
}

async function* encodePictures(guide: OpenGuide, model: LoadedModel): Events<Float32Array[]> {
  const features: Float32Array[] = [];
  const { guides, faceDetector } = guide.planned;
  for (const [i, bytes] of guides.entries()) {
    const fraction = i / guides.length;
    yield { type: 'stage-progress', stage: 'encode', message: 'encoding guide images', fraction };
    const picture = await decodeGuide(bytes, i, guide);
    const face = faceDetector && (yield* staged('encode', model.largestFace(picture, faceDetector)));
    const encoder = yield* staged('encode', model.guideEncoder(guide));
    features.push(await encoder.encode(face ? cropAround(picture, face) : picture));
  }
  return features;
}

async function decodeGuide(bytes: Uint8Array, index: number, { planned }: OpenGuide): Promise<Bitmap> {
  try {
    return await decodeImage(bytes);
  } catch (cause) {
    if (!(cause instanceof RetouchError)) throw cause;
    const where = `guide image ${index + 1} of the IP-Adapter ${planned.air}`;
    throw new RetouchError('guideUndecodable', `${where}: ${cause.message}`, { ...cause.details }, { cause });
  }
}

async function* encodeBlack(guide: OpenGuide, model: LoadedModel): Events<Float32Array> {
  const encoder = yield* staged('encode', model.guideEncoder(guide));
  return encoder.encode(blackGuide(guide.encoder.config.size));
}

function weigh({ planned, adapter }: OpenGuide, layers: readonly KeyValue[]): Guidance {
  const { weight, weightType, weightComposition, embedScaling } = planned;
  const weights = layerWeights(weightType, weight, weightComposition, layers.length);
  const scale = embedScalings[embedScaling];
  return { place: adapter.format.place, layers: layers.map((layer, i) => scale(layer, weights[i]!)) };
}
