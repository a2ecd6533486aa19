/** Keys and values of several adapters as the inputs of the transformer's graphs (nn/image-prompt.ts). */
import { imagePromptInput } from '../../nn/image-prompt.ts';
import { f32Tensor, type Tensor, tensor } from '../../onnx/tensor.ts';
import type { ImagePromptPlace } from '../../weights/weights.ts';
import type { KeyValue } from './scaling.ts';

/** One adapter's contribution: where it is added, and the keys and values for each of its blocks in order. */
export type AdapterLayers = { place: ImagePromptPlace; layers: readonly KeyValue[] };

/** Tensors by the names of the graphs' inputs. */
export type ImagePrompt = Record<string, Tensor>;

export type Blocks = { depth: number; depthSingle: number; heads: number };

/** The score of a padding token. It is finite: −∞ gives NaN on a device that subtracts the row's maximum. */
const absent = -1e30;

/** Adapters that are added at the same place share a tensor [A, H, …]; shorter token lists are padded and masked. */
export function joinAdapters(all: readonly AdapterLayers[], blocks: Blocks): ImagePrompt {
  const feeds: ImagePrompt = {};
  for (const place of ['attention', 'residual'] as const) {
    const adapters = all.filter((each) => each.place === place).map(({ layers }) => layers);
    const [first] = adapters;
    if (!first) continue;
    const counts = adapters.map(([layer]) => tokensOf(layer!));
    const tokens = Math.max(...counts);
    feeds[imagePromptInput.rows(place)] = tensor('i64', BigInt64Array.of(1n << 40n), [1]);
    feeds[imagePromptInput.mask(place)] = f32Tensor(
      Float32Array.from(
        counts.flatMap((count) => Array.from({ length: tokens }, (_, t) => (t < count ? 0 : absent))),
      ),
      [adapters.length, 1, 1, tokens],
    );
    for (const i of first.keys()) {
      const name = i < blocks.depth ? `double_blocks.${i}` : `single_blocks.${i - blocks.depth}`;
      const layers = adapters.map((layers) => layers[i]!);
      const { k, v } = joinLayer(layers, blocks.heads, tokens);
      feeds[imagePromptInput.k(name, place)] = k;
      feeds[imagePromptInput.v(name, place)] = v;
    }
  }
  return feeds;
}

/** [T, H·D] of every adapter to k [A, H, D, T], with the scores' 1/√D in it, and v [A, H, T, D]. */
function joinLayer(layers: readonly KeyValue[], heads: number, tokens: number): { k: Tensor; v: Tensor } {
  const { width } = layers[0]!;
  const headDim = width / heads;
  const scale = 1 / Math.sqrt(headDim);
  const k = new Float32Array(layers.length * width * tokens);
  const v = new Float32Array(layers.length * width * tokens);
  for (const [a, layer] of layers.entries())
    for (let t = 0; t < tokensOf(layer); t++)
      for (let c = 0; c < width; c++) {
        const head = a * heads + Math.floor(c / headDim);
        const d = c % headDim;
        k[(head * headDim + d) * tokens + t] = scale * layer.key[t * width + c]!;
        v[(head * tokens + t) * headDim + d] = layer.value[t * width + c]!;
      }
  return {
    k: f32Tensor(k, [layers.length, heads, headDim, tokens]),
    v: f32Tensor(v, [layers.length, heads, tokens, headDim]),
  };
}

function tokensOf({ key, width }: KeyValue): number {
  return key.length / width;
}
