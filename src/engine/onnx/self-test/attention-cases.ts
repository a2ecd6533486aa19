/**
 * Cases of fused attention: kernels are chosen by the width of the heads, the number of tokens, the type and the bias, so
 * each network's attention is examined in its own form, and in no other.
 */
import type { DType } from '../dtype.ts';
import type { Var } from '../graph.ts';
import * as op from '../operators/index.ts';
import { type Case, exact, type Need } from './case.ts';
import * as reference from './reference.ts';
import { pattern, Values } from './reference.ts';

/** Attention as a network does it: `bias` is one for each head (T5), a mask of later tokens (CLIP), or none. */
export type AttentionShape = { headWidth: number; tokens: number; bias: 'none' | 'heads' | 'causal' };

/**
 * An f16 sum of the products of two numbers is off by 3e-4 where it is accumulated in f32. Accumulated in f16 it is off by
 * 8e-3 and more at the lengths of FLUX.1.
 */
export const halfTolerance = 2e-3;

const heads = 2;

/** Odd lengths: kernels work in tiles and go wrong at the edges. The longest is beyond every tile and every switch between kernels. */
const lengths = [197, 1031, 4353];

/** The length that stands for this many tokens. */
function lengthOf(tokens: number): number {
  return lengths.find((length) => tokens <= length) ?? lengths.at(-1)!;
}

/** Names the shape in needs and reports: shapes of one key are examined once. */
export function attentionKey({ headWidth, tokens, bias }: AttentionShape): string {
  const biases = { none: '', heads: ', bias of each head', causal: ', causal mask' };
  return `heads of ${headWidth}, ${lengthOf(tokens)} tokens${biases[bias]}`;
}

export function attentionCases(shapes: readonly AttentionShape[], half: boolean): Case[] {
  const different = new Map(shapes.map((shape) => [attentionKey(shape), shape]));
  return [...different.values()].map((shape) => attentionCase(shape, half));
}

function attentionCase(shape: AttentionShape, half: boolean): Case {
  const { headWidth, bias } = shape;
  const key = attentionKey(shape);
  const need: Need = half ? `half attention ${key}` : `attention ${key}`;
  const queries = lengthOf(shape.tokens);
  // CLIP's mask is square; elsewhere keys are fewer, so that rows and columns taken for each other are noticed.
  const keys = bias === 'causal' ? queries : queries - 66;
  const width = heads * headWidth;
  const scale = 1 / Math.sqrt(headWidth);
  const build = (q: Var, k: Var, v: Var, added?: Var) => op.multiHeadAttention(q, k, v, heads, scale, added);
  // A few rows in f64 tell a kernel's faults as well as all of them, and take no seconds.
  const rows = Array.from({ length: 32 }, (_, i) => Math.round((i * (queries - 1)) / 31));
  return {
    operator: `MultiHeadAttention (${half ? 'f16' : 'f32'}, ${key})`,
    need,
    tolerance: half ? halfTolerance : exact,
    // Made when asked for: a long one takes longer to make than to compute.
    get inputs() {
      return [
        pattern([1, queries, width], 1),
        pattern([1, keys, width], 2),
        pattern([1, keys, width], 3),
        ...biasOf(bias, queries, keys),
      ];
    },
    build: inType(half ? 'f16' : 'f32', build as Case['build']),
    rows,
    expected: (q, k, v, added) =>
      reference.attention([takeRows(q, rows), k, v], heads, scale, added && takeRows(added, rows)),
  };
}

function biasOf(bias: AttentionShape['bias'], queries: number, keys: number): Values[] {
  if (bias === 'heads') return [pattern([1, heads, queries, keys], 4)];
  if (bias === 'none') return [];
  return [Values.of([1, 1, queries, keys], (_, _head, s, t) => (t! > s! ? Number.NEGATIVE_INFINITY : 0))];
}

/** Some rows of the last axis but one. */
function takeRows(x: Values, rows: readonly number[]): Values {
  const shape = x.shape.with(-2, rows.length);
  return Values.of(shape, (...index) => x.at(...index.with(-2, rows[index.at(-2)!]!)));
}

export function inType(dtype: DType, build: Case['build']): Case['build'] {
  return (...inputs) => op.cast(build(...inputs.map((x) => op.cast(x, dtype))), 'f32');
}
