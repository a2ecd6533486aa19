/** Every operator's inferred type and shape, compared with ONNX Runtime's results. */
import { describe, expect, test } from 'vitest';
import { addDims, type Dim, scaleDim, symbol } from '../../src/engine/onnx/dim.ts';
import { Graph, type Var } from '../../src/engine/onnx/graph.ts';
import * as op from '../../src/engine/onnx/operators/index.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import { type Tensor, tensor } from '../../src/engine/onnx/tensor.ts';

const sizes: Record<string, number> = { h: 3, w: 5, n: 4, t: 6 };
const [h, w, n, t] = ['h', 'w', 'n', 't'].map(symbol) as [Dim, Dim, Dim, Dim];

const image = (g: Graph, channels: number, k = 1) =>
  g.input('x', 'f32', [1, channels, scaleDim(h, k), scaleDim(w, k)]);
const rows = (g: Graph, width: number, name = 'x', length = n) => g.input(name, 'f32', [length, width]);
const vector = (g: Graph, length: number) => op.constant.f32(g, new Float32Array(length).fill(1), [length]);
const kernel = (g: Graph, ...shape: [number, number, number, number]) =>
  op.constant.f32(g, new Float32Array(shape.reduce((a, b) => a * b)).fill(0.1), shape);
const blocks = (g: Graph, bits: number, offset: boolean) => {
  const values = g.constant('u8', [3, 2, 4 * bits], new Uint8Array(24 * bits).fill(1));
  const scale = op.constant.f32(g, new Float32Array(6).fill(1), [3, 2]);
  return { values, scale, offset: offset ? scale : undefined };
};
const nibbles = (g: Graph, offset: boolean) => ({
  ...blocks(g, 4, offset),
  values: g.constant('u4', [3, 64], new Uint8Array(96).fill(0x19)),
});
const one = (unary: (x: Var) => Var) => (g: Graph) => unary(image(g, 2));
const pair = (binary: (a: Var, b: Var | number) => Var) => (g: Graph) => [
  binary(image(g, 2), g.input('y', 'f32', [2, 1, w])),
  binary(op.constant.f32(g, [1, 2], [2, 1, 1]), 3),
];

type Case = (g: Graph) => Var | Var[];
const cases: Record<string, Case | Record<string, Case>> = {
  abs: one(op.abs),
  add: pair(op.add),
  addRows: (g) => op.addRows(rows(g, 3), op.constant.f32(g, [1, 2, 3], [1, 3])),
  axisLength: (g) => op.axisLength(image(g, 2), 3),
  batchNorm: (g) => {
    const [scale, bias, mean, variance] = [1, 2, 3, 4].map(() => vector(g, 2)) as [Var, Var, Var, Var];
    return op.batchNorm(image(g, 2), { scale, bias, mean, variance }, 1e-3);
  },
  blocksOf: {
    'of rows': (g) => op.concat(op.blocksOf(rows(g, 3), 0, 3).toReversed(), 0),
    'of one block': (g) => op.blocksOf(rows(g, 3), 0, 1),
  },
  byRows: (g) => op.byRows(3, [rows(g, 3), rows(g, 2, 'y')], ([a, b]) => [op.concat([a!, b!], 1)]),
  cast: {
    'to f16 and back': (g) => op.cast(op.cast(image(g, 2), 'f16'), 'f32'),
    'to i64': (g) => op.cast(image(g, 2), 'i64'),
    'to nothing else': (g) => op.add(op.cast(image(g, 2), 'f32'), 1),
  },
  concat: {
    'of unknown lengths': (g) => op.concat([rows(g, 3), rows(g, 3, 'y', t), rows(g, 3, 'z', 2)], 0),
    'of columns': (g) => op.concat([rows(g, 3), rows(g, 2, 'y')], 1),
  },
  conv2d: {
    'that keeps the size': (g) =>
      op.conv2d(image(g, 2), kernel(g, 4, 2, 3, 3), vector(g, 4), { pads: [1, 1, 1, 1] }),
    'of one pixel without bias': (g) => op.conv2d(image(g, 2), kernel(g, 4, 2, 1, 1), undefined),
    'that halves, padded right and below': (g) =>
      op.conv2d(image(g, 2, 2), kernel(g, 4, 2, 3, 3), vector(g, 4), { stride: 2, pads: [0, 0, 1, 1] }),
    'that halves, padded around': (g) =>
      op.conv2d(image(g, 2, 4), kernel(g, 4, 2, 3, 3), vector(g, 4), { stride: 2, pads: [1, 1, 1, 1] }),
    'of every channel by itself': (g) =>
      op.conv2d(image(g, 4), kernel(g, 4, 1, 3, 3), undefined, { pads: [1, 1, 1, 1], groups: 4 }),
    'with a kernel that is not square': (g) => op.conv2d(image(g, 2, 2), kernel(g, 4, 2, 1, 3), vector(g, 4)),
  },
  columnsOfBlocks: {
    'without offsets': (g) => Object.values(op.columnsOfBlocks([nibbles(g, false)])),
    'of two pieces with offsets': (g) =>
      Object.values(op.columnsOfBlocks([nibbles(g, true), nibbles(g, true)])),
  },
  depthToSpace: (g) => op.depthToSpace(image(g, 8), 2),
  div: pair(op.div),
  expand: (g) => op.expand(op.constant.scalar(g, 7, 'u8'), rows(g, 3)),
  gather: {
    'of rows': (g) => op.gather(rows(g, 3), g.input('index', 'i64', [t])),
    'by a matrix': (g) => op.gather(rows(g, 3), g.input('index', 'i64', [t, t])),
    'of columns': (g) => op.gather(rows(g, 3), op.constant.i64(g, [2, 0]), 1),
  },
  gelu: { exact: (g) => op.gelu(image(g, 2), 'none'), tanh: (g) => op.gelu(image(g, 2), 'tanh') },
  layerNorm: {
    'with bias': (g) => op.layerNorm(rows(g, 3), vector(g, 3), vector(g, 3), 1e-6),
    'without bias': (g) => op.layerNorm(rows(g, 3), vector(g, 3), undefined, 1e-6),
  },
  matmul: {
    'of matrices': (g) => op.matmul(rows(g, 3), g.input('y', 'f32', [3, t])),
    'of batches': (g) => op.matmul(g.input('x', 'f32', [2, n, 3]), g.input('y', 'f32', [1, 3, t])),
    'over an unknown axis': (g) => op.matmul(g.input('x', 'f32', [2, n]), rows(g, 3, 'y')),
  },
  matmulBlocks: {
    'of eight bits': (g) => op.matmulBlocks(rows(g, 64), blocks(g, 8, false)),
    'of four bits with offsets': (g) => op.matmulBlocks(rows(g, 64), blocks(g, 4, true)),
  },
  matmulColumns: (g) => {
    const weight = g.constant('i8', [3, 2], new Uint8Array(6).fill(1));
    return op.matmulColumns(rows(g, 3), { weight, columns: vector(g, 2) });
  },
  matmulInteger: (g) => {
    const weight = g.constant('i8', [3, 2], new Uint8Array(6).fill(1));
    return op.matmulInteger(op.quantizeRows(rows(g, 3)).values, weight, vector(g, 2));
  },
  matmulThin: (g) => op.matmulThin(rows(g, 3), g.input('y', 'f32', [3, t])),
  matmulTransposed: (g) => op.matmulTransposed(rows(g, 3), rows(g, 3, 'y', t)),
  max: pair(op.max),
  mul: pair(op.mul),
  multiHeadAttention: {
    'of other tokens': (g) => {
      const [q, k, v] = [n, t, t].map((length, i) => g.input('qkv'[i]!, 'f32', [1, length, 8]));
      return op.multiHeadAttention(q!, k!, v!, 2, 0.5);
    },
    'with a bias': (g) => {
      const [q, k, v] = [n, t, t].map((length, i) => g.input('qkv'[i]!, 'f32', [1, length, 8]));
      return op.multiHeadAttention(q!, k!, v!, 2, 0.5, g.input('bias', 'f32', [1, 2, n, t]));
    },
  },
  padColumns: {
    'on both sides': (g) => op.padColumns(rows(g, 3), 1, 2, 0.5),
    'on none': (g) => op.padColumns(op.add(rows(g, 3), 1), 0, 0),
  },
  pixelShuffle: (g) => op.pixelShuffle(image(g, 12), 2),
  pixelUnshuffle: (g) => op.pixelUnshuffle(image(g, 3, 4), 2),
  quantizeRows: (g) => {
    const { values, scale } = op.quantizeRows(rows(g, 3));
    return [values, scale];
  },
  quickGelu: one(op.quickGelu),
  reduce: {
    'of the last axis': (g) => op.reduce('ReduceMean', image(g, 2), 3),
    'of an axis counted from the end': (g) => op.reduce('ReduceSum', image(g, 2), -3),
    'to the largest': (g) => op.reduce('ReduceMax', rows(g, 3), 0),
    'of squares': (g) => op.reduce('ReduceSumSquare', image(g, 2), 2),
  },
  relu: one(op.relu),
  relu6: one(op.relu6),
  reshape: {
    'to an inferred axis': (g) => op.reshape(rows(g, 6), [-1, 2]),
    'with the unknown in its place': (g) => op.reshape(rows(g, 6), [n, 2, 3]),
    'with the unknown elsewhere': (g) => op.reshape(op.unsqueeze(rows(g, 6), 0), [n, 6]),
    'of two unknowns into one': (g) => op.reshape(image(g, 2), [2, -1]),
    'of two unknowns that stay': (g) => op.reshape(image(g, 6), [1, 2, 3, -1]),
  },
  reshapeLike: (g) => {
    const x = image(g, 2);
    return op.reshapeLike(op.reshape(x, [2, -1]), x);
  },
  rmsNorm: (g) => op.rmsNorm(rows(g, 3), vector(g, 3), 1e-6),
  rotaryEmbedding: (g) => {
    const [cos, sin] = ['cos', 'sin'].map((name) => g.input(name, 'f32', [n, 2]));
    return op.rotaryEmbedding(g.input('x', 'f32', [1, n, 8]), cos!, sin!, 2);
  },
  rowsFrom: (g) => op.rowsFrom(rows(g, 3, 'x', t), op.constant.i64(g, [2]), n),
  sigmoid: one(op.sigmoid),
  silu: one(op.silu),
  sliceAxis: (g) => [op.sliceAxis(image(g, 2), 2, 1, -1), op.sliceAxis(rows(g, 4, 'y'), 1, 1, 3)],
  softmax: {
    'of the last axis': (g) => op.softmax(image(g, 2)),
    'of another': (g) => op.softmax(image(g, 2), 1),
  },
  split: (g) => op.split(rows(g, 6), [1, 2, 3], 1),
  splitRows: (g) => op.splitRows(rows(g, 3, 'x', addDims(n, t)), rows(g, 2, 'y', t)),
  sqrt: one(op.sqrt),
  squeeze: (g) => op.squeeze(g.input('x', 'f32', [1, n, 3]), 0),
  sub: pair(op.sub),
  takeBlock: (g) =>
    op.takeBlock(rows(g, 5, 'x', t), op.constant.i64(g, [0, 2]), op.constant.i64(g, [4, 5]), [n, 3]),
  takeRows: (g) => op.takeRows(rows(g, 3, 'x', t), op.constant.i64(g, [4]), n),
  tanh: one(op.tanh),
  transpose: (g) => op.transpose(image(g, 2), [2, 0, 3, 1]),
  unsqueeze: (g) => [op.unsqueeze(rows(g, 3), 0), op.unsqueeze(rows(g, 3, 'y'), 2)],
  upsampleNearest: (g) => op.upsampleNearest(image(g, 2), 2),
};

test('every operator has a case', () => {
  const helpers = ['blockSize', 'broadcast', 'constant', 'isCut'];
  expect(Object.keys(cases).sort()).toEqual(
    Object.keys(op)
      .filter((name) => !helpers.includes(name))
      .sort(),
  );
});

for (const [name, entry] of Object.entries(cases)) {
  const variants = typeof entry === 'function' ? { '': entry } : entry;
  describe.each(Object.entries(variants))(`${name} %s`, (_, build) => {
    test('returns the type and shape that were inferred', async () => {
      const graph = new Graph(name);
      const results = [build(graph)].flat();
      results.forEach((result, i) => {
        graph.output(`y${i}`, result);
      });
      const session = await Session.compile(graph, { device: 'cpu', threads: 1 });
      const found = await session.run(
        Object.fromEntries(graph.inputs.map((input) => [input.name, fill(input)])),
      );
      await session.release();
      results.forEach((result, i) => {
        expect(found[`y${i}`]!.dims).toEqual(result.shape.map(sizeOfDim));
        expect(found[`y${i}`]!.dtype).toBe(result.dtype);
      });
    });
  });
}

function fill(input: Var): Tensor {
  const shape = input.shape.map(sizeOfDim);
  const count = shape.reduce((a, b) => a * b, 1);
  if (input.dtype === 'i64') return tensor('i64', new BigInt64Array(count), shape);
  return tensor(
    'f32',
    Float32Array.from({ length: count }, (_, i) => 0.1 + (i % 7)),
    shape,
  );
}

/** The number an axis has once its unknowns are known; `(a)*(b)` names a product of unknown axes. */
function sizeOfDim(dim: Dim): number {
  if (typeof dim === 'number') return dim;
  return [...dim.terms].reduce((sum, [name, k]) => sum + k * sizeOfName(name), dim.constant);
}

function sizeOfName(name: string): number {
  const factors = name.startsWith('(') ? name.slice(1, -1).split(')*(') : [name];
  return factors.reduce((product, factor) => {
    const size = sizes[factor];
    if (size === undefined) throw new Error(`no size for ${factor}`);
    return product * size;
  }, 1);
}
