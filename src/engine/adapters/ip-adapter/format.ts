/** The interface of a layout of FLUX IP-Adapters. */
import type { Var } from '../../onnx/graph.ts';
import type { Dialect } from '../../weights/dialects/index.ts';
import type { WeightSource } from '../../weights/source.ts';
import type { ImagePromptPlace, Weights } from '../../weights/weights.ts';

export type IpAdapterConfig = {
  /** Width of an encoded image, its tokens [T, C], and the keys' width. */
  features: number;
  tokens: number;
  width: number;
  hidden: number;
  /** Blocks of the transformer it has keys and values for: double blocks first, then single ones. */
  layers: number;
};

/** One way of training an IP-Adapter for FLUX, with the names its files have. */
export type IpAdapterFormat = {
  name: string;
  dialects: readonly Dialect[];
  /** The place at which the attention to guide images is added, and the blocks. */
  place: ImagePromptPlace;
  blocks: 'double' | 'all';
  configure(source: WeightSource): IpAdapterConfig;
  /** Encoded images [n, E] to tokens [n·T, C]. */
  project(features: Var, w: Weights, config: IpAdapterConfig): Var;
  /** Keys and values of one block for tokens [N, C]: two of [N, H·D]. */
  keyValue(
    tokens: Var,
    w: Weights,
    layer: number,
    config: IpAdapterConfig,
    headDim: number,
  ): [key: Var, value: Var];
};
