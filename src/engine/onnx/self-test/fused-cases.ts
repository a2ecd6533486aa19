/** Cases of operators that have a plain form to fall back on, and of lower precision. */
import type { Graph } from '../graph.ts';
import * as op from '../operators/index.ts';
import { halfTolerance, inType } from './attention-cases.ts';
import { type Case, exact } from './case.ts';
import * as reference from './reference.ts';
import { pattern, Values } from './reference.ts';

/** The longest sum of FLUX.1 but one: the MLP of a block gives so many numbers, and its single blocks add 3,072 to them. */
const longest = 12288;

/** Rotary embedding is examined with the heads of T5, CLIP and FLUX.1, and of the embedded model. */
const headWidths = [32, 64, 128];
const [queries, heads] = [197, 2];

function rotary(headWidth: number): Case {
  const angles = pattern([queries, headWidth / 2], 5, 3);
  return {
    operator: `RotaryEmbedding (heads of ${headWidth})`,
    need: 'rotary',
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

/** Weights as a network of FLUX.1's width has them: their outputs are near 1. */
const deepWeights = () => pattern([24, longest], 2, Math.sqrt(2 / longest)).map(Math.f16round);

/** Sums of so many products in f32, which cancel in part: 5e-6 was seen. */
const deepSums = 1e-4;

const half: Case[] = [
  {
    operator: `Gemm (f16 weights widened to f32, sums of ${longest})`,
    need: 'widened',
    tolerance: deepSums,
    get inputs() {
      return [pattern([9, longest], 1)];
    },
    build: (x) => {
      x.graph.widens = true;
      const { data, shape } = deepWeights();
      const weight = op.constant.f16(x.graph, Float32Array.from(data), shape);
      return op.matmulTransposed(x, op.cast(weight, 'f32'));
    },
    expected: (x) => reference.product(x, transposed(deepWeights())),
  },
  {
    operator: `Gemm (f16, sums of ${longest})`,
    need: 'half',
    tolerance: halfTolerance,
    get inputs() {
      return [pattern([9, longest], 1), deepWeights()];
    },
    build: inType('f16', op.matmulTransposed),
    expected: (x, w) => reference.product(x, transposed(w)),
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
    const weight = x.graph.constant('i8', [200, 40], new Uint8Array(200 * 40).fill(127));
    const columns = op.constant.filled(x.graph, 0.5, 40, 'f32');
    return op.matmulColumns(x, { weight, columns });
  },
  expected: (x) =>
    reference.product(
      x,
      Values.of([200, 40], () => 127 * 0.5),
    ),
};

type BlocksCase = { offsets?: boolean; wholeTiles?: boolean; fractions?: boolean };

/** Rounding activations to eight bits, block by block, puts a product off by 3e-3 to 6e-3; so does rounding the weights. */
const roundedToEight = 1e-2;

/** Weights in blocks whose integers differ, so that a number out of its place is noticed. */
function blockWeights(bits: 4 | 8, [outputs, inputs]: readonly [number, number], offsets: boolean) {
  const perRow = inputs / op.blockSize;
  const half = 2 ** (bits - 1);
  const q = (n: number, k: number) => ((131 * n + 71 * k + 29 * n * k) % (2 * half)) - half;
  const scale = pattern([outputs, perRow], 7, 0.5);
  const offset = offsets ? pattern([outputs, perRow], 8, 2) : undefined;
  const stored = new Uint8Array((outputs * inputs * bits) / 8);
  for (let i = 0; i < outputs * inputs; i++) {
    const value = q(Math.floor(i / inputs), i % inputs) + half;
    if (bits === 8) stored[i] = value;
    else stored[i >> 1] = stored[i >> 1]! | (value << (4 * (i & 1)));
  }
  const weights = Values.of([inputs, outputs], (k, n) => {
    const b = Math.floor(k! / op.blockSize);
    return q(n!, k!) * scale.at(n!, b) + (offset?.at(n!, b) ?? 0);
  });
  const constant = (graph: Graph) => ({
    scale: op.constant.f32(graph, Float32Array.from(scale.data), scale.shape),
    offset: offset && op.constant.f32(graph, Float32Array.from(offset.data), offset.shape),
  });
  return { stored, weights, constant };
}

/**
 * As above in blocks of eight or four bits. ONNX Runtime's WebGPU has another kernel for whole tiles (inputs in multiples of
 * 128, outputs of 16), as in all blocks of FLUX.1 and T5: on a device with subgroups it rounds activations to eight bits, as
 * the CPU's does. `fractions` are activations that are rounded there.
 */
function blocks(bits: 4 | 8, { offsets = false, wholeTiles = false, fractions = false }: BlocksCase): Case {
  const [outputs, inputs] = wholeTiles ? [48, 384] : [40, 224];
  const { stored, weights, constant } = blockWeights(bits, [outputs, inputs], offsets);
  const kinds = [`${bits} bits`, offsets && 'offsets', wholeTiles && 'whole tiles', fractions && 'fractions'];
  return {
    operator: `MatMulNBits (${kinds.filter(Boolean).join(', ')})`,
    need: bits === 4 ? 'blocks4' : 'blocks8',
    tolerance: fractions ? roundedToEight : exact,
    inputs: [fractions ? pattern([33, inputs], 9) : repeated(inputs)],
    build: (x) => {
      const shape = [outputs, inputs / op.blockSize, (op.blockSize * bits) / 8];
      const values = x.graph.constant('u8', shape, stored);
      return op.matmulBlocks(x, { values, ...constant(x.graph) });
    },
    expected: (x) => reference.product(x, weights),
  };
}

/** Four-bit blocks that are expanded to eight bits in the run. */
function expanded(offsets: boolean): Case {
  const shape = [40, 224] as const;
  const { stored, weights, constant } = blockWeights(4, shape, offsets);
  return {
    operator: `DequantizeLinear (4 bits${offsets ? ', offsets' : ''}), MatMulIntegerToFloat`,
    need: 'expanded',
    tolerance: roundedToEight,
    inputs: [repeated(shape[1])],
    build: (x) => {
      x.graph.widens = true;
      const values = x.graph.constant('u4', shape, stored);
      return op.matmulColumns(x, op.columnsOfBlocks([{ values, ...constant(x.graph) }]));
    },
    expected: (x) => reference.product(x, weights),
  };
}

/** Rows of activations that are exact in eight bits. */
function repeated(inputs: number): Values {
  return Values.of([33, inputs], (s, k) => largest.at(s!, k! % largest.shape[1]!));
}

export const fusedCases: Case[] = [
  ...headWidths.map(rotary),
  int8,
  ...([8, 4] as const).flatMap((bits) => [
    blocks(bits, {}),
    blocks(bits, { offsets: true }),
    blocks(bits, { wholeTiles: true }),
    blocks(bits, { wholeTiles: true, fractions: true }),
  ]),
  expanded(false),
  expanded(true),
  ...half,
];
