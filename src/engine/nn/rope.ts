/** Rotary position embedding over several axes (Su et al., arXiv 2104.09864; BFL math.py `rope`, `apply_rope`). */
import type { Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Compute } from '../weights/weights.ts';

/**
 * cos and sin of every token's angles.
 *
 * @param ids [S, A] position on each axis
 * @param axes widths of the axes, even, summing to the head width D
 * @returns cos and sin [S, D/2], the axes one after the other; computed in f64 as diffusers does
 */
export function rotaryTable(
  ids: Float32Array,
  axes: readonly number[],
  theta: number,
): { cos: Float32Array; sin: Float32Array } {
  const half = axes.reduce((sum, width) => sum + width / 2, 0);
  const count = ids.length / axes.length;
  const cos = new Float32Array(count * half);
  const sin = new Float32Array(count * half);
  for (let s = 0, at = 0; s < count; s++) {
    axes.forEach((width, a) => {
      for (let j = 0; j < width / 2; j++, at++) {
        const angle = ids[s * axes.length + a]! * theta ** ((-2 * j) / width);
        cos[at] = Math.cos(angle);
        sin[at] = Math.sin(angle);
      }
    });
  }
  return { cos, sin };
}

/**
 * Rotates the pairs (x[2j], x[2j+1]) of every head: x [S, H·D], cos and sin [S, D/2]. The fused kernel's result stays a
 * batch of one, [1, S, H·D], as the fused attention takes it.
 */
export function applyRope(x: Var, pe: { cos: Var; sin: Var }, heads: number, compute: Compute): Var {
  if (compute.fused) return op.rotaryEmbedding(op.unsqueeze(x, 0), pe.cos, pe.sin, heads);
  const [tokens, width] = x.shape as [Var['shape'][number], number];
  const half = width / heads / 2;
  const [even, odd] = op.split(op.reshape(x, [tokens, heads, half, 2]), [1, 1], 3) as [Var, Var];
  const cos = op.reshape(pe.cos, [tokens, 1, half, 1]);
  const sin = op.reshape(pe.sin, [tokens, 1, half, 1]);
  const turned = [op.sub(op.mul(even, cos), op.mul(odd, sin)), op.add(op.mul(odd, cos), op.mul(even, sin))];
  return op.reshape(op.concat(turned, 3), [tokens, width]);
}
