/**
 * The work of making an image, counted from the networks' sizes. Operations: a multiplication and an addition are two.
 * CLIP, the embeddings and the final layer are left out: below a hundredth of the rest.
 */
import type { Size } from '../image/sizes.ts';
import { type AutoencoderConfig, growth } from '../models/autoencoder-config.ts';
import type { FluxConfig } from '../models/flux-config.ts';
import { bandedWeights, narrowestInBands } from '../models/flux-memory.ts';
import type { T5Config } from '../models/t5.ts';

export type Work = {
  /** Operations of linear layers. */
  products: number;
  attention: number;
  convolutions: number;
  /** Bytes read and written by norms, scales, gates and copies, which do little arithmetic. */
  passes: number;
  /** Weights that are expanded to eight bits where they are stored in four. */
  expanded: number;
};

const none: Work = { products: 0, attention: 0, convolutions: 0, passes: 0, expanded: 0 };

/**
 * Floats that the passes over a token read or write in one block, for each of its channels, from the block's operators:
 * norm and modulation 6, quantisation and scales of the linear layers 56, cuts, copies and rotation of q, k and v 24, the
 * activation 8, joining 10, gate and sum 6.
 */
const passesPerChannel = 110;

/** One pass through the transformer, over text, target and references together. */
export function transformerWork(config: FluxConfig, tokens: number): Work {
  const { hidden, mlp, depth, depthSingle } = config;
  const blocks = depth + depthSingle;
  return {
    ...none,
    products: 2 * tokens * blocks * (4 * hidden * hidden + 2 * hidden * mlp),
    attention: 4 * tokens * tokens * hidden * blocks,
    passes: 4 * tokens * blocks * passesPerChannel * hidden,
    expanded: hidden >= narrowestInBands ? bandedWeights(config) : 0,
  };
}

export function textWork({ hidden, heads, headDim, mlp, gated, layers }: T5Config, tokens: number): Work {
  const inner = heads * headDim;
  return {
    ...none,
    products: 2 * tokens * layers * (4 * hidden * inner + (gated ? 3 : 2) * hidden * mlp),
    attention: 4 * tokens * tokens * inner * layers,
  };
}

export function decoderWork(config: AutoencoderConfig, size: Size): Work {
  const { decoderChannels, decoderPatch, decoderBlocks, latentChannels, imageChannels, upsample } = config;
  const positions = (level: number) => positionsOf(size, decoderPatch * growth(config) ** level);
  const top = decoderChannels.length - 1;
  let width = decoderChannels[top]!;
  let convolutions = (9 * latentChannels * width + 4 * 9 * width * width) * positions(top);
  for (let level = top; level >= 0; level--) {
    const channels = decoderChannels[level]!;
    convolutions += residual(width, channels, decoderBlocks) * positions(level);
    width = channels;
    if (level > 0)
      convolutions +=
        upsample === 'nearest'
          ? 9 * width * width * positions(level - 1)
          : 9 * width * decoderChannels[level - 1]! * growth(config) ** 2 * positions(level);
  }
  convolutions += 9 * width * imageChannels * decoderPatch ** 2 * positions(0);
  return { ...none, convolutions: 2 * convolutions, ...middle(decoderChannels[top]!, positions(top)) };
}

export function encoderWork(config: AutoencoderConfig, size: Size): Work {
  const { channels, patch, encoderBlocks, latentChannels, imageChannels } = config;
  const positions = (level: number) => positionsOf(size, patch * 2 ** level);
  const top = channels.length - 1;
  let width = channels[0]!;
  let convolutions = 9 * imageChannels * patch ** 2 * width * positions(0);
  for (const [level, outputs] of channels.entries()) {
    convolutions += residual(width, outputs, encoderBlocks) * positions(level);
    width = outputs;
    if (level < top) convolutions += 9 * width * width * positions(level + 1);
  }
  convolutions += (4 * 9 * width * width + 9 * width * 2 * latentChannels) * positions(top);
  return { ...none, convolutions: 2 * convolutions, ...middle(width, positions(top)) };
}

export function addWork(...parts: readonly Work[]): Work {
  const sum = (key: keyof Work) => parts.reduce((total, part) => total + part[key], 0);
  return {
    products: sum('products'),
    attention: sum('attention'),
    convolutions: sum('convolutions'),
    passes: sum('passes'),
    expanded: sum('expanded'),
  };
}

export function timesWork(work: Work, count: number): Work {
  return addWork(...Array.from({ length: count }, () => work));
}

function positionsOf({ width, height }: Size, side: number): number {
  return Math.ceil(width / side) * Math.ceil(height / side);
}

/** Multiplications of a level's residual blocks at one position; the first one changes the width. */
function residual(inputs: number, outputs: number, blocks: number): number {
  const shortcut = inputs === outputs ? 0 : inputs * outputs;
  return 9 * inputs * outputs + shortcut + (2 * blocks - 1) * 9 * outputs * outputs;
}

/** The one attention of an autoencoder's half, whose four layers are 1×1 convolutions. */
function middle(channels: number, positions: number): Pick<Work, 'products' | 'attention'> {
  return {
    products: 8 * channels * channels * positions,
    attention: 4 * positions * positions * channels,
  };
}
