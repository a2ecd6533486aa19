/** The working memory of a FLUX transformer. */
import type { DeviceName } from '../onnx/device.ts';
import type { Compute } from '../weights/weights.ts';
import type { FluxConfig } from './flux-config.ts';

/** Narrower transformers need little memory: a loop over bands, or a wait after each block, would cost them time. */
export const narrowestInBands = 1024;

/** Whether the host waits for the device after every block (`Compute.waits`). */
export function waitsFor(device: DeviceName, { hidden }: Pick<FluxConfig, 'hidden'>): boolean {
  return device === 'webgpu' && hidden >= narrowestInBands;
}

const floatBytes = 4;
const halfBytes = 2;

export type TransformerWork = {
  device: DeviceName;
  /** Text, target and references together. */
  tokens: number;
  /** Tokens of the guide images of all IP-Adapters. */
  imagePromptTokens: number;
  /** Passes that a step cache keeps tensors for. */
  cachedPasses: number;
  /** Tokens of references whose keys and values are kept from step to step. */
  keptReferences: number;
};

/**
 * Bytes of the activations alive at once, which are most during a single block's attention: the segment's input, the
 * block's, q, k and v, their copies in the order of heads, the attention's output and the MLP's activations; without bands
 * also the joined output of linear1 that these were cut from, and the margin by which an arena grows ahead of need. Besides,
 * the scores of the guide images' tokens; where attention is not fused, those of blocks of queries; and the widest layer's
 * weights in f32 where they are widened for their product. A step cache keeps the signal and the residual of each pass,
 * and of the pass under way the tensors that they are computed from. Where references are kept, k and v are copied once
 * more, with the kept ones after them; and where four-bit weights are expanded, those of a double block's MLP, the last of them twice.
 * On WebGPU all wide tensors of a block are in memory at once, and beside those of the next if the host does not wait.
 */
export function transformerBytes(
  {
    hidden,
    heads,
    mlp,
    depth,
    depthSingle,
  }: Pick<FluxConfig, 'hidden' | 'heads' | 'mlp' | 'depth' | 'depthSingle'>,
  { precision, half, fused, bandRows, expands, waits, queryBlocks = 1 }: Compute,
  { device, tokens, imagePromptTokens, cachedPasses, keptReferences }: TransformerWork,
): number {
  const joined = keptReferences > 0 ? 2 * hidden : 0;
  const row = bandRows === undefined ? 12 * hidden + 3 * mlp : 10 * hidden + mlp;
  const overlaps = device === 'webgpu' && floatBytes * tokens * mlp > largestReusedBuffer;
  const overlap = !overlaps ? 0 : waits ? 2 * hidden + 2 * mlp : 3 * hidden + 6 * mlp;
  const band = (bandRows ?? 0) * (8 * hidden + 4 * mlp);
  const blockRows = fused ? 0 : Math.min(queryBlocks, blocksInFlight) * Math.ceil(tokens / queryBlocks);
  const scores = 2 * heads * tokens * (imagePromptTokens + blockRows);
  const widened = precision === 'f16' && !half ? widenedInFlight * hidden * (3 * hidden + mlp) : 0;
  const cached = cachedPasses > 0 ? (3 + 2 * cachedPasses) * tokens * hidden : 0;
  const expanded = expands ? hidden * (hidden + 3 * mlp) : 0;
  const kept = halfBytes * keptReferences * 2 * hidden * (depth + depthSingle);
  const work = tokens * (row + overlap + joined) + band + scores + widened + cached;
  return floatBytes * work + kept + expanded;
}

/** ONNX Runtime's WebGPU submits 16 operators at a time and reuses no buffer before: four blocks of queries. */
const blocksInFlight = 4;

/**
 * ONNX Runtime's WebGPU keeps buffers up to this size for reuse. Larger ones are given back, and stay in memory until the GPU has
 * computed with them. In each of three single blocks that the host waited for, 384 wide with an MLP of 20,352, there were at
 * once, in units of `tokens`, 3 · hidden + mlp, hidden + mlp, and mlp three times. With the second of two single
 * blocks of FLUX.1 at 8,704 tokens in one graph there were 3 · hidden + mlp, hidden + mlp twice, mlp six times, and hidden ten times.
 */
const largestReusedBuffer = 160 * 2 ** 20;

/**
 * Widened layers in flight, each counted as wide as the widest, for the same reason; 5.7 were measured with a double and two
 * single blocks of FLUX.1.
 */
const widenedInFlight = 6;

/**
 * Weights of the linear layers that are computed in bands: all of the blocks but the modulations, which have one row. In
 * four bits they are expanded.
 */
export function bandedWeights({
  hidden,
  mlp,
  depth,
  depthSingle,
}: Pick<FluxConfig, 'hidden' | 'mlp' | 'depth' | 'depthSingle'>): number {
  // Both streams of a double block have q, k, v and the projection of their own.
  return (2 * depth + depthSingle) * (4 * hidden * hidden + 2 * hidden * mlp);
}
