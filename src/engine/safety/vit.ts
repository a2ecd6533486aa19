/**
 * An operator's own classifier: ViTForImageClassification of transformers, such as Falconsai/nsfw_image_detection,
 * which black-forest-labs/flux uses (`content_filters.py`, threshold 0.85).
 */
import fs from 'node:fs';
import path from 'node:path';
import { EngineError } from '../errors.ts';
import type { Bitmap } from '../image/pixels.ts';
import { resizeBicubic, resizeLanczos, resizeTriangle } from '../image/resample.ts';
import { vitConfig, vitGraph } from '../models/vit.ts';
import { compile, releaseAll } from '../networks/compile.ts';
import { checkTool } from '../networks/finite.ts';
import type { Loading } from '../networks/loadable.ts';
import type { ToolSource } from '../networks/tool-source.ts';
import { f32Tensor, floats } from '../onnx/tensor.ts';
import { openCheckpoint, readJson } from '../weights/checkpoint.ts';
import { vitDialects } from '../weights/dialects/vit.ts';
import { WeightSource } from '../weights/source.ts';
import { byName, readUnsafe } from './settings.ts';
import type { ClassifierKind, ContentClassifier } from './types.ts';

export const vit: ClassifierKind = {
  need: ({ files }) => {
    const { bytes } = openCheckpoint(files.weights!);
    // ViT-base on 197 tokens: activations are a hundredth of its weights.
    return { bytes, working: bytes / 10 };
  },
  load,
};

async function* load(source: ToolSource, threads: number): Loading<ContentClassifier> {
  const folder = source.files.weights!;
  const weights = new WeightSource(openCheckpoint(folder), vitDialects);
  const config = vitConfig(weights);
  const prepare = readPreparation(folder, config.size);
  const nsfw = config.labels.filter((label) => label.toLowerCase() === 'nsfw');
  const rule = readUnsafe(source, config.labels, { unsafe: nsfw, threshold: 0.85 });
  const compute = { precision: 'f32', fused: true } as const;
  const options = { device: 'cpu', threads, arena: false } as const;
  const build = () => vitGraph(weights, config, compute);
  const sessions = yield* compile({
    name: 'content classifier',
    source: weights,
    graphs: { network: { build } },
    compute,
    options,
  });
  return {
    ...rule,
    classify: async (bitmap) => {
      const image = f32Tensor(prepare(bitmap), [1, 3, config.size, config.size]);
      const { logits } = await sessions.network.run({ image });
      return byName(
        config.labels,
        softmax(checkTool(floats(logits!), 'The verdict', `the safety classifier ${folder}`)),
      );
    },
    release: () => releaseAll(sessions),
  };
}

/** Pillow's numbers for its filters. */
const filters: Readonly<Record<number, typeof resizeLanczos>> = {
  1: resizeLanczos,
  2: resizeTriangle,
  3: resizeBicubic,
};

/**
 * The steps of preprocessor_config.json (transformers' ViTImageProcessor): [3, S, S] from an image.
 *
 * @throws RetouchError `modelConfigInvalid` when it needs an unsupported size or filter
 */
export function readPreparation(folder: string, size: number): (bitmap: Bitmap) => Float32Array {
  const file = path.join(folder, 'preprocessor_config.json');
  const config = fs.existsSync(file) ? readJson(file) : {};
  const resize = filters[Number(config.resample ?? 2)];
  const wanted = config.size ?? size;
  const sides = typeof wanted === 'object' ? Object.values(wanted as object) : [wanted];
  if (!resize || !sides.every((side) => side === size))
    throw new EngineError(
      'modelConfigInvalid',
      `${file}: it resizes to ${JSON.stringify(wanted)} with filter ${config.resample}; expected ${size} and one of ${Object.keys(filters).join(', ')}`,
      { path: file },
    );
  const factor = config.do_rescale === false ? 1 : Number(config.rescale_factor ?? 1 / 255);
  const normalized = config.do_normalize !== false;
  const rgb = (value: unknown, otherwise: number) =>
    normalized && Array.isArray(value)
      ? value.map(Number)
      : [0, 1, 2].map(() => (normalized ? 0.5 : otherwise));
  const [mean, deviation] = [rgb(config.image_mean, 0), rgb(config.image_std, 1)];
  return (bitmap) => {
    const { data } = resize(bitmap, size, size);
    const area = size * size;
    const out = new Float32Array(3 * area);
    for (let c = 0; c < 3; c++)
      for (let p = 0; p < area; p++)
        out[c * area + p] = (data[3 * p + c]! * factor - mean[c]!) / deviation[c]!;
    return out;
  };
}

function softmax(logits: Float32Array): Float32Array {
  const top = Math.max(...logits);
  const weights = logits.map((value) => Math.exp(value - top));
  const total = weights.reduce((sum, value) => sum + value, 0);
  return weights.map((value) => value / total);
}
