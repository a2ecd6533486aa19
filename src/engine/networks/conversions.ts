/** The conversions of a model's weights to a precision, which are made once and kept as files. */
import path from 'node:path';
import { clipGraph } from '../models/clip.ts';
import { segmentBuilder, segmentNames } from '../models/flux-segments.ts';
import { t5Graph } from '../models/t5.ts';
import type { Graph } from '../onnx/graph.ts';
import type { LinearShape, PrecisionName } from '../weights/conversion/layers.ts';
import { isPrepared, openPrepared, preparedBytes, type Written } from '../weights/prepared.ts';
import type { Compute } from '../weights/weights.ts';
import type { Components } from './components.ts';

/** Networks whose weights are converted, in the order in which a run loads them. */
const networks = ['t5', 'clip', 'transformer'] as const;

export type Conversion = {
  /** For people. */
  title: string;
  file: string;
  /** Size of the file; 0 when the checkpoint needs no conversion. */
  bytes: number;
  isDone: boolean;
  /** Makes the file on so many threads, and yields how much of it is written after every layer. */
  make(threads: number): AsyncGenerator<Written, unknown>;
};

export function preparedPath(cacheFolder: string, component: string, precision: PrecisionName): string {
  return path.join(cacheFolder, `${component}-${precision}.safetensors`);
}

/** Reads headers only. */
export function conversionsOf(
  components: Components,
  cacheFolder: string,
  precision: PrecisionName,
): Conversion[] {
  const titles = { t5: 'T5', clip: 'CLIP', transformer: 'transformer' };
  return networks.map((name) => {
    const { source } = components[name];
    const linears = layersOf(components)[name]();
    const options = { precision, file: preparedPath(cacheFolder, name, precision) };
    return {
      title: titles[name],
      file: options.file,
      bytes: preparedBytes(source, linears, precision),
      isDone: isPrepared(source, linears, options),
      make: (threads) => openPrepared(source, linears, { ...options, threads }),
    };
  });
}

/** The linear layers as a load lists them: the file is known by their names and order. */
function layersOf({
  t5,
  clip,
  transformer,
}: Components): Record<(typeof networks)[number], () => LinearShape[]> {
  const compute: Compute = { precision: 'f32', fused: true };
  const layers = (...graphs: Graph[]) => graphs.flatMap(({ linears }) => linears);
  return {
    t5: () => layers(t5Graph(t5.source, t5.config, compute)),
    clip: () => layers(clipGraph(clip.source, clip.config, compute)),
    transformer: () => {
      const build = segmentBuilder(transformer.source, transformer.config);
      return layers(...segmentNames(transformer.config).map((name) => build(name, compute)));
    },
  };
}
