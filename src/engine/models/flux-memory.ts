/** The working memory of a FLUX transformer. */
import type { Compute } from '../weights/weights.ts';
import type { FluxConfig } from './flux-config.ts';

const floatBytes = 4;

export type TransformerWork = {
  /** Text, target and references together. */
  tokens: number;
  /** Of the guide images of all IP-Adapters. */
  imagePromptTokens: number;
  /** Passes that a step cache keeps tensors for. */
  cachedPasses: number;
};

/**
 * Bytes of the activations alive at once, which are most during a single block's attention: the block's input, q, k and
 * v, their copies in the order of heads, the attention's output and the MLP's activations; without bands also the joined
 * output of linear1 that these were cut from, and the margin by which an arena grows ahead of need. Besides, the scores of
 * the guide images' tokens, and all scores where attention is not fused. A step cache keeps the signal and the residual of
 * each pass, and of the pass under way the tensors that they are computed from.
 */
export function transformerBytes(
  { hidden, heads, mlp }: FluxConfig,
  { fused, bandRows }: Compute,
  { tokens, imagePromptTokens, cachedPasses }: TransformerWork,
): number {
  const row = bandRows === undefined ? 12 * hidden + 3 * mlp : 8 * hidden + mlp;
  const band = (bandRows ?? 0) * (8 * hidden + 4 * mlp);
  const scores = 2 * heads * tokens * (imagePromptTokens + (fused ? 0 : tokens));
  const cached = cachedPasses > 0 ? (3 + 2 * cachedPasses) * tokens * hidden : 0;
  return floatBytes * (tokens * row + band + scores + cached);
}
