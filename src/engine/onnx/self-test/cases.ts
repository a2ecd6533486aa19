/**
 * The cases of the self-test. Sizes are odd on purpose: kernels work in tiles of 16, 32 or 64 and go wrong at the edges.
 * Products are examined in whole tiles besides, for which a runtime may have other kernels: all layers of FLUX.1 are such.
 */

import type { DeviceName } from '../device.ts';
import type { Var } from '../graph.ts';
import * as op from '../operators/index.ts';
import { type AttentionShape, attentionCases } from './attention-cases.ts';
import { type Case, exact } from './case.ts';
import { fusedCases } from './fused-cases.ts';
import { imageCases } from './image-cases.ts';
import * as reference from './reference.ts';
import { integers, pattern, Values } from './reference.ts';

const device = { need: 'device', tolerance: exact } as const;
const tokens = pattern([197, 200], 1);
const wide = pattern([61, 90], 3, 6);

function onValues(operator: string, build: (x: Var) => Var, expected: (x: number) => number): Case {
  return { ...device, operator, inputs: [wide], build, expected: (x) => x.map(expected) };
}

function onRows(operator: string, build: Case['build'], expected: (x: number, y: number) => number): Case {
  return {
    ...device,
    operator,
    inputs: [wide, pattern([1, 90], 4, 1, 3)],
    build,
    expected: (x, y) => Values.of(x.shape, (s, d) => expected(x.at(s!, d!), y.at(0, d!))),
  };
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

const arithmetic: Case[] = [
  onRows('Add', op.add, (x, y) => x + y),
  onRows('Sub', op.sub, (x, y) => x - y),
  onRows('Mul', op.mul, (x, y) => x * y),
  onRows('Div', op.div, (x, y) => x / y),
  onValues('Sqrt', (x) => op.sqrt(op.mul(x, x)), Math.abs),
  onValues('Relu', op.relu, (x) => Math.max(x, 0)),
  onValues('Tanh', op.tanh, Math.tanh),
  onValues('Sigmoid (SiLU)', op.silu, (x) => x * sigmoid(x)),
  onValues('Sigmoid (quick GELU)', op.quickGelu, (x) => x * sigmoid(1.702 * x)),
  onValues('Gelu', (x) => op.gelu(x, 'none'), reference.gelu),
  onValues('Gelu (tanh)', (x) => op.gelu(x, 'tanh'), reference.geluTanh),
  {
    ...device,
    operator: 'Softmax',
    inputs: [
      pattern([3, 61, 197], 1, 40),
      Values.of([1, 61, 197], (_, s, t) => (t! > s! + 99 ? -Infinity : 0)),
    ],
    build: (x, mask) => op.softmax(op.add(x, mask)),
    expected: (x, mask) =>
      reference.softmax(Values.of(x.shape, (h, s, t) => x.at(h!, s!, t!) + mask.at(0, s!, t!))),
  },
  {
    ...device,
    operator: 'LayerNormalization',
    inputs: [pattern([197, 200], 1, 2, 5), pattern([200], 2), pattern([200], 3)],
    build: (x, scale, bias) => op.layerNorm(x, scale, bias, 1e-6),
    expected: (x, scale, bias) => reference.layerNorm(x, scale, bias, 1e-6),
  },
  {
    ...device,
    operator: 'SimplifiedLayerNormalization',
    inputs: [pattern([197, 3, 40], 1), pattern([40], 2)],
    build: (x, scale) => op.rmsNorm(x, scale, 1e-6),
    expected: (x, scale) => reference.rmsNorm(x, scale, 1e-6),
  },
];

const transposed = (w: Values) => reference.transpose(w, [1, 0]);

/** x·Wᵀ + x·A·B + bias as nn/linear.ts writes it: `rows` rows and the last columns of x·A meet B, of the rank given. */
function lora(operator: string, rank: number, rows: number): Case {
  const before = rank === 0 ? 0 : 5;
  return {
    ...device,
    operator,
    inputs: [
      tokens,
      pattern([72, 200], 2),
      pattern([200, before + rank], 3),
      pattern([rank, 72], 4),
      pattern([1, 72], 5),
      integers([2], (axis) => [0, before][axis]!),
      integers([2], (axis) => [rows, before + rank][axis]!),
    ],
    build: (x, w, a, b, bias, from, to) => {
      const low = op.padColumns(op.takeBlock(op.matmul(x, a), from, to, [rows, rank]), 0, 1, 1);
      return op.addRows(op.matmulTransposed(x, w), op.matmulThin(low, op.concat([b, bias], 0)));
    },
    expected: (x, w, a, b, bias) => {
      const base = reference.product(x, transposed(w));
      const own = Values.of([200, rank], (k, r) => a.at(k!, before + r!));
      const update = rank === 0 ? undefined : reference.product(reference.product(x, own), b);
      return Values.of(base.shape, (s, n) => base.at(s!, n!) + bias.at(0, n!) + (update?.at(s!, n!) ?? 0));
    },
  };
}

const products: Case[] = [
  ...Object.entries({ Gemm: [65, 1031, 72], 'Gemm (whole tiles)': [64, 512, 128] }).map(
    ([operator, [rows, inputs, outputs]]): Case => ({
      ...device,
      operator,
      inputs: [pattern([rows!, inputs!], 1), pattern([outputs!, inputs!], 2)],
      build: op.matmulTransposed,
      expected: (x, w) => reference.product(x, transposed(w)),
    }),
  ),
  lora('Gemm (no LoRA)', 0, 1),
  lora('Gemm (LoRA)', 3, 197),
  ...Object.entries({ batched: [197, 40, 131], 'batched, whole tiles': [64, 128, 192] }).map(
    ([kind, [rows, inner, columns]]): Case => ({
      ...device,
      operator: `MatMul (${kind})`,
      inputs: [pattern([3, rows!, inner!], 1), pattern([3, inner!, columns!], 2)],
      build: op.matmul,
      expected: reference.product,
    }),
  ),
];

const movements: Case[] = [
  ...[
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
  ].map((perm) => ({
    ...device,
    operator: `Transpose [${perm}]`,
    inputs: [pattern([67, 3, 40], 1)],
    build: (x: Var) => op.transpose(x, perm),
    expected: (x: Values) => reference.transpose(x, perm),
  })),
  {
    ...device,
    operator: 'Split, Concat, Unsqueeze',
    inputs: [tokens],
    build: (x) => {
      const [left, right] = op.split(x, [71, 129], 1) as [Var, Var];
      return op.unsqueeze(op.concat([right, left], 1), 0);
    },
    expected: (x) => Values.of([1, 197, 200], (_, s, d) => x.at(s!, (d! + 71) % 200)),
  },
  {
    ...device,
    operator: 'Slice',
    inputs: [tokens, pattern([70, 200], 2)],
    build: (x, first) => op.splitRows(op.concat([first, x], 0), first)[1],
    expected: (x) => x,
  },
  {
    ...device,
    operator: 'Slice (blocks)',
    inputs: [pattern([2, 197, 40], 1)],
    build: (x) => op.concat(op.blocksOf(x, 1, 5).toReversed(), 1),
    expected: (x) => {
      const bounds = [0, 39, 78, 118, 157, 197];
      const rows = [4, 3, 2, 1, 0].flatMap((block) =>
        Array.from({ length: bounds[block + 1]! - bounds[block]! }, (_, i) => bounds[block]! + i),
      );
      return Values.of(x.shape, (h, s, d) => x.at(h!, rows[s!]!, d!));
    },
  },
  {
    ...device,
    operator: 'Pad',
    inputs: [tokens],
    build: (x) => op.padColumns(x, 3, 1, 1),
    expected: (x) => Values.of([197, 204], (s, d) => (d! < 3 || d! > 202 ? 1 : x.at(s!, d! - 3))),
  },
  {
    ...device,
    operator: 'Gather',
    inputs: [pattern([32, 5], 1), integers([61, 61], (i) => (i * 7) % 32)],
    build: (table, index) => op.gather(table, index),
    expected: (table, index) => Values.of([61, 61, 5], (i, j, d) => table.at(index.at(i!, j!), d!)),
  },
];

const all = [...arithmetic, ...products, ...movements, ...imageCases, ...fusedCases];

/** Required cases come first. The CPU has no f16 cases, and only the CPU has cases of integer products. */
export function casesFor(device: DeviceName, shapes: readonly AttentionShape[] = []): Case[] {
  const cpu = device === 'cpu';
  const fits = ({ need }: Case) => (cpu ? need !== 'half' : need !== 'int8' && need !== 'expanded');
  return [
    ...all.filter(fits),
    ...attentionCases(shapes, false),
    ...(cpu ? [] : attentionCases(shapes, true)),
  ];
}
