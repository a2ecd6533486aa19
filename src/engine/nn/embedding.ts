/** Embeddings of scalars (BFL layers.py `timestep_embedding`, `MLPEmbedder`). */
import type { Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Weights } from '../weights/weights.ts';
import { linear } from './linear.ts';

const maxPeriod = 10000;
const half = 128;

/** 10000^(−k/128) in f32: the exponent rounded as the reference rounds it, the power to the nearest. */
const nearest = Float32Array.from({ length: half }, (_, k) =>
  Math.exp(Math.fround(Math.fround(Math.fround(-Math.log(maxPeriod)) * k) / half)),
);

/**
 * 1000·guidance radians magnify the last bit of a frequency to 1e-5 of an activation, and that bit depends on the
 * build of torch: its own exponential goes up at three near ties, Sleef's (other builds) differs at twelve places.
 */
const ownUp = [13, 44, 119];
const sleefUp = [13, 26, 33, 44, 53, 56, 70, 84, 101, 108, 119];
const sleefDown = [14, 89, 91, 112];
const own = shifted(ownUp, []);
const sleef = shifted(sleefUp, sleefDown);

function shifted(up: readonly number[], down: readonly number[]): Float32Array {
  const frequencies = nearest.slice();
  const bits = new Uint32Array(frequencies.buffer);
  for (const k of up) bits[k]! += 1;
  for (const k of down) bits[k]! -= 1;
  return frequencies;
}

/**
 * The sinusoid of a scalar that is already multiplied by 1000: [cos | sin], 256 values. The angle is the middle of
 * those that the reference has with either exponential, each rounded to f32 as there.
 */
export function sinusoid(value: number): Float32Array {
  const out = new Float32Array(2 * half);
  const scalar = Math.fround(value);
  for (let k = 0; k < half; k++) {
    const angle = (Math.fround(scalar * own[k]!) + Math.fround(scalar * sleef[k]!)) / 2;
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
