/** A plan's IP-Adapters and their guide images as inputs of the transformer, computed once for all steps. */
import { createHash } from 'node:crypto';
import { RetouchError } from '../../../error.ts';
import { EngineError } from '../../errors.ts';
import type { Box } from '../../image/box.ts';
import { decodeImage } from '../../image/image-codec.ts';
import type { Bitmap } from '../../image/pixels.ts';
import type { Loading } from '../../networks/loadable.ts';
import type { OpenedModel } from '../../networks/opened-model.ts';
import type { Residents } from '../../networks/residents.ts';
import type { ToolSource } from '../../networks/tool-source.ts';
import { combine } from './combine.ts';
import { blackImage, cropAround } from './guide-image.ts';
import { type AdapterLayers, type ImagePrompt, joinAdapters } from './image-prompt.ts';
import { ipAdapter } from './network.ts';
import { embedScalings, type KeyValue } from './scaling.ts';
import type { IpAdapterUse } from './use.ts';
import { visionEncoder } from './vision-encoder.ts';
import { layerWeights } from './weights.ts';

export type ImagePrompts = { given: ImagePrompt | undefined; negative: ImagePrompt | undefined };

/** Everything that `encodeIpAdapters` depends on, the arithmetic aside. */
export function ipAdaptersKey(uses: readonly IpAdapterUse[], negative: boolean): string {
  const hash = createHash('sha256');
  const files = uses.flatMap(({ adapter, encoder }) => [
    ...adapter.source.checkpoint.files,
    ...encoder.source.checkpoint.files,
  ]);
  const asked = uses.map(({ planned: { guides, ...rest } }) => ({ ...rest, guides: guides.length }));
  hash.update(JSON.stringify({ files, asked, negative }));
  for (const { planned } of uses)
    for (const bytes of planned.guides) hash.update(`${bytes.length}:`).update(bytes);
  return hash.digest('hex');
}

export type IpAdapterTools = {
  model: OpenedModel;
  residents: Residents;
  /** The face that guide images are cropped to, for adapters of faces. */
  findFace: (image: Bitmap, detector: ToolSource) => Loading<Box | undefined>;
};

/** @param negative also for the negative pass of classifier-free guidance, which has a black image */
export async function* encodeIpAdapters(
  uses: readonly IpAdapterUse[],
  negative: boolean,
  tools: IpAdapterTools,
): Loading<ImagePrompts> {
  const { model, residents } = tools;
  const given: AdapterLayers[] = [];
  const against: AdapterLayers[] = [];
  for (const use of uses) {
    const images = yield* encodeGuides(use, tools);
    const black = negative ? yield* encodeBlack(use, tools) : undefined;
    const network = yield* residents.acquire(ipAdapter(model, use));
    const features = combine(images, use.planned.combineMethod);
    given.push(weigh(use, await network.project(features)));
    if (black) against.push(weigh(use, await network.project([black])));
  }
  const join = (adapters: AdapterLayers[]) =>
    adapters.length > 0 ? joinAdapters(adapters, model.components.transformer.config) : undefined;
  return { given: join(given), negative: join(against) };
}

async function* encodeGuides(
  use: IpAdapterUse,
  { model, residents, findFace }: IpAdapterTools,
): Loading<Float32Array[]> {
  const features: Float32Array[] = [];
  const { guides, faceDetector } = use.planned;
  for (const [i, bytes] of guides.entries()) {
    yield { message: 'encoding guide images', fraction: i / guides.length };
    const image = await decodeGuide(bytes, i, use);
    const face = faceDetector && (yield* findFace(image, faceDetector));
    const encoder = yield* residents.acquire(visionEncoder(model, use));
    features.push(await encoder.encode(face ? cropAround(image, face) : image));
  }
  return features;
}

async function decodeGuide(bytes: Uint8Array, index: number, { planned }: IpAdapterUse): Promise<Bitmap> {
  try {
    return await decodeImage(bytes);
  } catch (cause) {
    if (!(cause instanceof RetouchError)) throw cause;
    const where = `guide image ${index + 1} of the IP-Adapter ${planned.air}`;
    throw new EngineError('guideUndecodable', `${where}: ${cause.message}`, { ...cause.details }, { cause });
  }
}

async function* encodeBlack(use: IpAdapterUse, { model, residents }: IpAdapterTools): Loading<Float32Array> {
  const encoder = yield* residents.acquire(visionEncoder(model, use));
  return encoder.encode(blackImage(use.encoder.config.size));
}

function weigh({ planned, adapter }: IpAdapterUse, layers: readonly KeyValue[]): AdapterLayers {
  const { weight, weightType, weightComposition, embedScaling } = planned;
  const weights = layerWeights(weightType, { weight, composition: weightComposition }, layers.length);
  const scale = embedScalings[embedScaling];
  return { place: adapter.format.place, layers: layers.map((layer, i) => scale(layer, weights[i]!)) };
}
