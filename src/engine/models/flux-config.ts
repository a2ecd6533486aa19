/** The sizes of a FLUX transformer, read from its checkpoint: nothing is tied to the 12 B model. */
import { EngineError } from '../errors.ts';
import type { WeightSource } from '../weights/source.ts';

export type FluxConfig = {
  /** Width of a packed latent token (4·channels of the autoencoder). */
  inChannels: number;
  outChannels: number;
  /** Widths of the pooled CLIP vector and of the T5 tokens. */
  vecIn: number;
  contextIn: number;
  hidden: number;
  heads: number;
  mlp: number;
  depth: number;
  depthSingle: number;
  /** Widths of the rotary axes (index, row, column). */
  axes: number[];
  theta: number;
  guidance: boolean;
  /** Whether the double blocks' q, k and v have a bias: every released model's do. */
  qkvBias: boolean;
};

/**
 * Read from tensor shapes; the rest (axes, theta) from config.json or the file's metadata. Blocks of config.json count
 * even if the file lacks them, so that reading their tensors reports the error.
 */
export function fluxConfig(source: WeightSource): FluxConfig {
  const shape = (name: string) => source.shape(name) as [number, number];
  const [hidden, inChannels] = shape('img_in.weight');
  const [headDim] = shape('double_blocks.0.img_attn.norm.query_norm.scale');
  const { config, metadata, path } = source.checkpoint;
  const params = metadata.flux_params ? JSON.parse(metadata.flux_params) : {};
  const axes = (config.axes_dims_rope ?? params.axes_dim ?? defaultAxes(headDim)) as number[];
  if (axes.reduce((a, b) => a + b, 0) !== headDim)
    throw new EngineError(
      'modelConfigInvalid',
      `${path}: rotary axes [${axes}] do not sum to the head width ${headDim}`,
      { path },
    );
  return {
    inChannels,
    outChannels: shape('final_layer.linear.weight')[0],
    vecIn: shape('vector_in.in_layer.weight')[1],
    contextIn: shape('txt_in.weight')[1],
    hidden,
    heads: hidden / headDim,
    mlp: shape('double_blocks.0.img_mlp.0.weight')[0],
    depth: Math.max(source.count('double_blocks', 'img_mod.lin.weight'), Number(config.num_layers ?? 0)),
    depthSingle: Math.max(
      source.count('single_blocks', 'linear1.weight'),
      Number(config.num_single_layers ?? 0),
    ),
    axes,
    theta: Number(params.theta ?? 10000),
    guidance:
      config.guidance_embeds === true ||
      source.hasAny('guidance_in.in_layer.weight', 'guidance_in.out_layer.weight'),
    qkvBias: params.qkv_bias !== false,
  };
}

/** FLUX.1's proportions: an eighth for the image index, the rest shared by row and column (16, 56, 56 of 128). */
function defaultAxes(headDim: number): number[] {
  const index = headDim / 8;
  return [index, (headDim - index) / 2, (headDim - index) / 2];
}
