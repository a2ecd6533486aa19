/** A model's files opened and its arithmetic chosen: all that its networks are loaded from, before any of them is. */
import { transformerBytes, waitsFor } from '../models/flux-memory.ts';
import type { DeviceName } from '../onnx/device.ts';
import { examineDevice, type SelfTest } from '../onnx/self-test.ts';
import type { SessionOptions } from '../onnx/session.ts';
import { haveOffsets } from '../weights/blocks.ts';
import { blockBits, type PrecisionName } from '../weights/conversion/layers.ts';
import type { WeightSource } from '../weights/source.ts';
import { countOf, type TensorEntry } from '../weights/stored.ts';
import type { Compute } from '../weights/weights.ts';
import {
  type AttentionShapes,
  attentionCompute,
  attentionShapes,
  examinedShapes,
  type NetworkName,
} from './attention-shapes.ts';
import { type Components, type ModelSource, openComponents } from './components.ts';
import { preparedPath } from './conversions.ts';
import type { SmallerWeights } from './loadable.ts';
import { bytesPerWeight, type Candidates, choosePrecision, type DeviceChoice } from './precision.ts';
import { type ProductTimes, productTimes } from './product-times.ts';

export type OpenedModel = {
  source: ModelSource;
  components: Components;
  /** Without what `computeOf` adds for a network, and LoRA forms and IP-Adapter places, which each plan adds. */
  compute: Compute;
  attention: AttentionShapes;
  /** Result of the device's self-test. */
  test: SelfTest;
  session: SessionOptions;
};

/** The engine's limits of threads and memory. */
export type EngineLimits = { threads: number; memoryLimit: number };

/**
 * @throws RetouchError as `openComponents` does, `deviceUnusable`, `precisionUnsupported`
 */
export async function openModelFiles(
  source: ModelSource,
  choice: DeviceChoice,
  { threads, memoryLimit }: EngineLimits,
): Promise<OpenedModel> {
  const { device } = choice;
  const components = await openComponents(source);
  const attention = attentionShapes(components, memoryLimit);
  const test = await examineDevice(device, { threads, shapes: examinedShapes(attention) });
  const isChosen = device !== 'cpu' && choice.precision === 'auto';
  const folder = source.cacheFolder;
  const times = isChosen ? await productTimes(device, { threads, folder }, test) : {};
  const precision = choosePrecision(choice, candidates(components, test, { memoryLimit, times }), test);
  return {
    source,
    components,
    // Networks whose attention was not asked for, such as guide images' encoders, are small: fused on the CPU only.
    compute: { precision, half: test.half, fused: device === 'cpu' },
    attention,
    test,
    session: { device, threads },
  };
}

/** The precisions that `auto` chooses among: the transformer must fit, others can leave the memory while it runs. */
export function candidates(
  components: Components,
  test: SelfTest,
  { memoryLimit, times }: { memoryLimit: number; times: ProductTimes },
): Candidates {
  const { hidden } = components.transformer.config;
  return { hidden, times, fits: (precision) => needOf(components, test, precision) <= memoryLimit };
}

/** Bytes of the transformer's weights and work in an edit of one megapixel with one reference. */
export function needOf(
  components: Components,
  test: Pick<SelfTest, 'device' | 'half' | 'passed'>,
  precision: PrecisionName,
): number {
  const { source, config } = components.transformer;
  const shape = attentionShapes(components).transformer;
  const compute = { precision, half: test.half, fused: false, waits: waitsFor(test.device, config) };
  const all = { ...compute, ...attentionCompute(compute, test, shape) };
  const { device } = test;
  const work = { device, tokens: shape.tokens, imagePromptTokens: 0, cachedPasses: 0, keptReferences: 0 };
  return loadedBytes(source, precision, device) + transformerBytes(config, all, work);
}

/** How one of the model's networks computes; of the transformer with at most `tokens` at once. */
export function computeOf(model: OpenedModel, network: NetworkName, tokens?: number): Compute {
  const { compute, attention, test } = model;
  const shape = attention[network];
  return {
    ...compute,
    ...attentionCompute(compute, test, shape && { ...shape, tokens: tokens ?? shape.tokens }),
  };
}

/** The key of one of the model's networks. */
export function networkKey({ source, compute, session }: OpenedModel, name: string): string {
  const { air, files } = source;
  const where = files.layout === 'diffusers' ? files.folder : files.transformer;
  return `${name} of ${air} (${compute.precision} on ${session.device}, ${where})`;
}

/** Options of networks that run once or twice an image: their working memory is free for the others afterwards. */
export function onceAnImage({ session }: OpenedModel): SessionOptions {
  return { ...session, arena: false };
}

/** The cache file of a component's converted weights, used when the checkpoint stores another precision. */
export function preparedFile({ source, compute }: OpenedModel, component: string): string {
  return preparedPath(source.cacheFolder, component, compute.precision);
}

/** Bytes of a network's weights in the precision of the model. */
export function weightBytes({ compute, session }: OpenedModel, source: WeightSource): number {
  return loadedBytes(source, compute.precision, session.device);
}

/** For the networks whose weights are in the model's precision: those that would make them smaller on its device. */
export function smallerWeights({
  compute,
  session: { device },
}: Pick<OpenedModel, 'compute' | 'session'>): SmallerWeights[] {
  const insteadOf = bytesPerWeight(compute.precision, device, false);
  return ([device === 'cpu' ? 'int8' : 'int8-blocks', 'int4'] as const)
    .map((precision) => ({ precision, bytes: bytesPerWeight(precision, device, false), insteadOf }))
    .filter(({ bytes }) => bytes < insteadOf);
}

/** Bytes of a network's weights once they are loaded. */
function loadedBytes(source: WeightSource, precision: PrecisionName, device: DeviceName): number {
  const bits = blockBits[precision];
  return loadedEntries(source).reduce((sum, entry) => {
    const offsets = bits !== undefined && haveOffsets([entry], bits);
    return sum + bytesPerWeight(precision, device, offsets) * countOf(entry.shape);
  }, 0);
}

/** Tables of tokens stay on disk: rows of them are read as a prompt needs them. */
const tables = /(shared|embed_tokens|token_embedding|token_embd)\.weight$/;

export function countWeights(source: WeightSource): number {
  return loadedEntries(source).reduce((sum, { shape }) => sum + countOf(shape), 0);
}

function loadedEntries(source: WeightSource): readonly TensorEntry[] {
  return source.entries.filter(({ name }) => !tables.test(name));
}
