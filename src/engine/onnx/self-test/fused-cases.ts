/** Cases of operators that have a plain form to fall back on, and of lower precision. */
import type { DType } from '../dtype.ts';
import type { Var } from '../graph.ts';
import * as op from '../operators/index.ts';
import { type Case, exact } from './case.ts';
import * as reference from './reference.ts';
import { pattern, Values } from './reference.ts';

/** f16 sums of a thousand products; more would cost an image more than eight bits do. */
const coarse = 1e-2;

const [queries, keys, heads] = [197, 131, 2];
const headWidths = [32, 64, 128];

function inType(dtype: DType, build: Case['build']): Case['build'] {
  return (...inputs) => op.cast(build(...inputs.map((x) => op.cast(x, dtype))), 'f32');
}

function attention(dtype: 'f32' | 'f16', headWidth: number, bias?: Values): Case {
  const width = heads * headWidth;
  const scale = 1 / Math.sqrt(headWidth);
  const build = (q: Var, k: Var, v: Var, added?: Var) => op.multiHeadAttention(q, k, v, heads, scale, added);
  const kind = bias ? `, bias [${bias.shape}]` : '';
  return {
    operator: `MultiHeadAttention (${dtype}, heads of ${headWidth}${kind})`,
    need: dtype === 'f16' ? 'fused half' : 'fused',
    tolerance: dtype === 'f16' ? coarse : exact,
    inputs: [
      pattern([1, queries, width], 1),
      pattern([1, keys, width], 2),
      pattern([1, keys, width], 3),
      ...(bias ? [bias] : []),
    ],
    build: inType(dtype, build as Case['build']),
    expected: (q, k, v, added) => reference.attention([q, k, v], heads, scale, added),
  };
}

function rotary(headWidth: number): Case {
  const angles = pattern([queries, headWidth / 2], 5, 3);
  return {
    operator: `RotaryEmbedding (heads of ${headWidth})`,
    need: 'fused',
    tolerance: exact,
    inputs: [
      pattern([1, queries, heads * headWidth], 1),
      angles.map((angle) => Math.fround(Math.cos(angle))),
      angles.map((angle) => Math.fround(Math.sin(angle))),
    ],
    build: (x, cos, sin) => op.rotaryEmbedding(x, cos, sin, heads),
    expected: (x, cos, sin) => reference.rotate(x, cos, sin, heads),
  };
}

const transposed = (w: Values) => reference.transpose(w, [1, 0]);

const half: Case[] = [
  {
    operator: 'Gemm (f16)',
    need: 'half',
    tolerance: coarse,
    inputs: [pattern([65, 1031], 1), pattern([72, 1031], 2)],
    build: inType('f16', op.matmulTransposed),
    expected: (x, w) => reference.product(x, transposed(w)),
  },
  {
    operator: 'MatMul and Softmax (f16)',
    need: 'half',
    tolerance: coarse,
    inputs: [pattern([3, 61, 64], 1), pattern([3, 64, 131], 2)],
    build: inType('f16', (x, y) => op.softmax(op.mul(op.matmul(x, y), 0.125))),
    expected: (x, y) => reference.softmax(reference.product(x, y).map((value) => value / 8)),
  },
];

/** Values that sixteen bits cannot hold the sums of two products of: some x86 kernels saturate there. */
const largest = Values.of([33, 200], (s, k) => ((s! + k!) % 3 === 0 ? -127 : 127));

/** x in 8 bits (exactly: every row holds ±127) times eight-bit weights. */
const int8: Case = {
  operator: 'MatMulIntegerToFloat',
  need: 'int8',
  tolerance: exact,
  inputs: [largest],
  build: (x) => {
    const { values, scale } = op.quantizeRows(x);
    const weight = x.graph.constant('i8', [200, 40], new Uint8Array(200 * 40).fill(127));
    const columns = op.constant.filled(x.graph, 0.5, 40, 'f32');
    return op.mul(op.matmulInteger(values, weight, columns), scale);
  },
  expected: (x) =>
    reference.product(
      x,
      Values.of([200, 40], () => 127 * 0.5),
    ),
};

/** As above in blocks of eight or four bits, whose integers count up so that a number out of its place is noticed. */
function blocks(bits: 4 | 8, offsets: boolean): Case {
  const [outputs, inputs] = [40, 224];
  const perRow = inputs / op.blockSize;
  const half = 2 ** (bits - 1);
  const q = (n: number, k: number) => ((7 * n + 3 * k) % (2 * half)) - half;
  const scale = pattern([outputs, perRow], 7, 0.5);
  const offset = offsets ? pattern([outputs, perRow], 8, 2) : undefined;
  const blockOf = (k: number) => Math.floor(k / op.blockSize);
  return {
    operator: `MatMulNBits (${bits} bits${offsets ? ', offsets' : ''})`,
    need: bits === 4 ? 'blocks4' : 'blocks8',
    tolerance: exact,
    inputs: [Values.of([33, inputs], (s, k) => largest.at(s!, k! % 200))],
    build: (x) => {
      const stored = new Uint8Array((outputs * inputs * bits) / 8);
      for (let i = 0; i < outputs * inputs; i++) {
        const value = q(Math.floor(i / inputs), i % inputs) + half;
        if (bits === 8) stored[i] = value;
        else stored[i >> 1] = stored[i >> 1]! | (value << (4 * (i & 1)));
      }
      const bytes = (op.blockSize * bits) / 8;
      const values = x.graph.constant('u8', [outputs, perRow, bytes], stored);
      const constant = ({ data, shape }: Values) => op.constant.f32(x.graph, Float32Array.from(data), shape);
      return op.matmulBlocks(x, { values, scale: constant(scale), offset: offset && constant(offset) });
    },
    expected: (x) =>
      reference.product(
        x,
        Values.of([inputs, outputs], (k, n) => {
          const b = blockOf(k!);
          return q(n!, k!) * scale.at(n!, b) + (offset?.at(n!, b) ?? 0);
        }),
      ),
  };
}

export const fusedCases: Case[] = [
  ...headWidths.map(rotary),
  ...headWidths.map((width) => attention('f32', width)),
  attention('f32', 64, pattern([1, heads, queries, keys], 4)),
  attention(
    'f32',
    64,
    Values.of([1, 1, queries, keys], (_, _head, s, t) => (t! > s! + 9 ? -Infinity : 0)),
  ),
  int8,
  blocks(8, false),
  blocks(8, true),
  blocks(4, false),
  blocks(4, true),
  ...half,
  ...headWidths.map((width) => attention('f16', width)),
];
