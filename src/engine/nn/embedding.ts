/** Embeddings of scalars (BFL layers.py `timestep_embedding`, `MLPEmbedder`). */
import type { Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Weights } from '../weights/weights.ts';
import { linear } from './linear.ts';

const maxPeriod = 10000;

/**
 * The sinusoid of a scalar that is already multiplied by 1000: [cos | sin], `width` values.
 * Every step is rounded to f32 because the reference computes the angles so, and 1000 radians magnify the difference.
 */
export function sinusoid(value: number, width = 256): Float32Array {
  const half = width / 2;
  const out = new Float32Array(width);
  const rate = Math.fround(-Math.log(maxPeriod));
  for (let k = 0; k < half; k++) {
    const frequency = Math.fround(Math.exp(Math.fround(Math.fround(rate * k) / half)));
    const angle = Math.fround(Math.fround(value) * frequency);
    out[k] = Math.cos(angle);
    out[half + k] = Math.sin(angle);
  }
  return out;
}

/** Linear, SiLU, Linear: [1, K] gives [1, hidden]. */
export function mlpEmbedder(x: Var, w: Weights, hidden: number): Var {
  const h = op.silu(linear(x, w.at('in_layer'), hidden, { precise: true }));
  return linear(h, w.at('out_layer'), hidden, { precise: true });
}
