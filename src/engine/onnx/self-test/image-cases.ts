/** Cases of operators on images. */
import type { Var } from '../graph.ts';
import * as op from '../operators/index.ts';
import { type Case, exact } from './case.ts';
import * as reference from './reference.ts';
import { pattern, Values } from './reference.ts';

const device = { need: 'device', tolerance: exact } as const;
const image = pattern([1, 12, 17, 22], 1);

function convolution(operator: string, kernel: number, stride: number, before: number, after: number): Case {
  return {
    ...device,
    operator,
    inputs: [image, pattern([20, 12, kernel, kernel], 2), pattern([20], 3)],
    build: (x, w, bias) => op.conv2d(x, w, bias, { stride, pads: [before, before, after, after] }),
    expected: (x, w, bias) => reference.conv(x, w, bias, stride, before, after),
  };
}

/** A reduction of rows, as group normalisation uses it. */
function reduction(operator: 'ReduceMean' | 'ReduceSumSquare', value: (row: number[]) => number): Case {
  return {
    ...device,
    operator,
    inputs: [pattern([1, 12, 17, 197], 1, 1.5, 1)],
    build: (x: Var) => op.reduce(operator, x, 3),
    expected: (x) =>
      Values.of([1, 12, 17, 1], (_, c, y) =>
        value(Array.from({ length: 197 }, (_, z) => x.at(0, c!, y!, z))),
      ),
  };
}

const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);

export const imageCases: Case[] = [
  convolution('Conv 3×3', 3, 1, 1, 1),
  convolution('Conv 3×3 (stride 2)', 3, 2, 0, 1),
  convolution('Conv 1×1', 1, 1, 0, 0),
  reduction('ReduceMean', (row) => sum(row) / row.length),
  reduction('ReduceSumSquare', (row) => sum(row.map((value) => value ** 2))),
  {
    ...device,
    operator: 'Shape, Cast, Reshape',
    inputs: [image],
    build: (x) => op.mul(op.reshapeLike(op.reshape(x, [12, -1]), x), op.axisLength(x, 3)),
    expected: (x) => x.map((value) => value * 22),
  },
  {
    ...device,
    operator: 'Gather (channels)',
    inputs: [image],
    build: (x) =>
      op.gather(
        x,
        op.constant.i64(
          x.graph,
          Array.from({ length: 12 }, (_, c) => (c * 5) % 12),
        ),
        1,
      ),
    expected: (x) => Values.of(x.shape, (_, c, y, z) => x.at(0, (c! * 5) % 12, y!, z!)),
  },
  {
    ...device,
    operator: 'Resize',
    inputs: [image],
    build: (x) => op.upsampleNearest(x, 2),
    expected: (x) => Values.of([1, 12, 34, 44], (_, c, y, z) => x.at(0, c!, y! >> 1, z! >> 1)),
  },
  {
    ...device,
    operator: 'DepthToSpace',
    inputs: [image],
    build: (x) => op.pixelShuffle(x, 2),
    expected: (x) =>
      Values.of([1, 3, 34, 44], (_, c, y, z) => x.at(0, c! * 4 + (y! % 2) * 2 + (z! % 2), y! >> 1, z! >> 1)),
  },
  {
    ...device,
    operator: 'SpaceToDepth',
    inputs: [pattern([1, 3, 34, 44], 1)],
    build: (x) => op.pixelUnshuffle(x, 2),
    expected: (x) =>
      Values.of([1, 12, 17, 22], (_, c, y, z) =>
        x.at(0, c! >> 2, y! * 2 + ((c! >> 1) % 2), z! * 2 + (c! % 2)),
      ),
  },
];
