/** Shared by the encoders of images: sizes read from a checkpoint, and the cut of an image into patches. */
import { EngineError } from '../errors.ts';
import { activationNamed } from '../nn/activation.ts';
import type { Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import { settingsOf } from '../weights/settings.ts';
import type { WeightSource } from '../weights/source.ts';
import type { Weights } from '../weights/weights.ts';
import type { EncoderConfig } from './clip.ts';

type Rgb = readonly [number, number, number];

export type VisionConfig = EncoderConfig & {
  /** Side of the images it takes and of the patches it cuts them into, in pixels. */
  size: number;
  patch: number;
  /** Width of the features of an image. */
  features: number;
  /** Mean and deviation of the normalisation of pixels in 0 … 1. */
  mean: Rgb;
  deviation: Rgb;
  /** Whether the middle square of an image is taken; otherwise all of it is squeezed into the square. */
  crop: boolean;
};

export type VisionKind = Pick<
  VisionConfig,
  'features' | 'activation' | 'epsilon' | 'mean' | 'deviation' | 'crop'
> & {
  /** Whether a class token precedes the patches. */
  classToken: boolean;
};

/** Heads by width, for files that come without their configuration: CLIP's B, L, H and bigG, SigLIP's B, L and so400m. */
const releasedHeads: Readonly<Record<number, number>> = { 768: 12, 1024: 16, 1152: 16, 1280: 16, 1664: 16 };

/** From tensor shapes and config.json, or a single file's metadata `vision_config`; the rest is the network's kind. */
export function visionConfig(source: WeightSource, kind: VisionKind): VisionConfig {
  const { path } = source.checkpoint;
  const settings = settingsOf(source.checkpoint, 'vision_config');
  const config = (settings.vision_config ?? settings) as Record<string, unknown>;
  const [hidden, , patch] = source.shape('embeddings.patch_embedding.weight') as [number, number, number];
  const [positions] = source.shape('embeddings.position_embedding.weight') as [number];
  const { classToken, ...rest } = kind;
  const side = Math.sqrt(positions - (classToken ? 1 : 0));
  const heads = Number(config.num_attention_heads ?? releasedHeads[hidden]);
  if (!Number.isInteger(hidden / heads) || !Number.isInteger(heads) || !Number.isInteger(side))
    throw new EngineError(
      'modelConfigInvalid',
      `${path}: ${hidden} channels in ${heads} heads (num_attention_heads of its config.json) or ${positions} positions in a square of patches do not come out even`,
      { path },
    );
  return {
    ...rest,
    hidden,
    heads,
    mlp: source.shape('encoder.layers.0.mlp.fc1.weight')[0]!,
    layers: Math.max(source.count('encoder.layers', 'mlp.fc1.weight'), Number(config.num_hidden_layers ?? 0)),
    activation: activationNamed(String(config.hidden_act ?? kind.activation), path),
    epsilon: Number(config.layer_norm_eps ?? kind.epsilon),
    size: side * patch,
    patch,
  };
}

/** image [1, 3, S, S] to tokens [N, D], row by row: a convolution whose stride is its kernel. */
export function embedPatches(
  image: Var,
  w: Weights,
  { hidden, patch, size }: VisionConfig,
  bias: boolean,
): Var {
  const at = w.at('embeddings.patch_embedding');
  const kernel = at.tensor('weight', [hidden, 3, patch, patch]);
  const cells = op.conv2d(image, kernel, bias ? at.tensor('bias', [hidden]) : undefined, { stride: patch });
  return op.transpose(op.reshape(cells, [hidden, (size / patch) ** 2]), [1, 0]);
}
