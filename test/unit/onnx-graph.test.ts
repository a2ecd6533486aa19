import fs from 'node:fs';
import path from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, type NodeProto } from 'onnx-buf';
import { describe, expect, test } from 'vitest';
import { linear } from '../../src/engine/nn/linear.ts';
import { symbol } from '../../src/engine/onnx/dim.ts';
import { Graph, type Var } from '../../src/engine/onnx/graph.ts';
import { encodeModel, opset } from '../../src/engine/onnx/model-proto.ts';
import * as op from '../../src/engine/onnx/operators/index.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { clipDialects } from '../../src/engine/weights/dialects/clip.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { Weights } from '../../src/engine/weights/weights.ts';
import { RetouchError } from '../../src/error.ts';

const [n, t] = [symbol('n'), symbol('t')];
const matrix = (g: Graph, name: string, columns: number) => g.input(name, 'f32', [n, columns]);
const image = (g: Graph, channels: number) => g.input('x', 'f32', [1, channels, n, t]);
const ones = (g: Graph, ...shape: number[]) =>
  op.constant.f32(g, new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);

/** A mistake, and its expected message. */
const mistakes: Record<string, [(g: Graph) => unknown, RegExp]> = {
  addRows: [(g) => op.addRows(matrix(g, 'x', 3), matrix(g, 'y', 4)), /\[n, 3\].*\[n, 4\]/],
  'an axis': [(g) => matrix(g, 'x', 3).dim(2), /axis 2 of x: f32\[n, 3\]: it has 2 axes/],
  broadcast: [(g) => op.add(matrix(g, 'x', 3), matrix(g, 'y', 4)), /axis 1: 3 and 4/],
  concat: [(g) => op.concat([matrix(g, 'x', 3), matrix(g, 'y', 4)], 0), /axis 0: x.*and y.*differ/],
  'concat of nothing': [() => op.concat([], 0), /concat of nothing/],
  'conv2d channels': [(g) => op.conv2d(image(g, 3), ones(g, 4, 2, 3, 3), undefined), /channels differ/],
  'conv2d stride': [(g) => op.conv2d(image(g, 2), ones(g, 4, 2, 3, 3), undefined, { stride: 2 }), /stride 2/],
  'bf16 input': [(g) => g.input('x', 'bf16', [1]), /input x is bf16/],
  'bf16 output': [(g) => g.output('y', op.cast(matrix(g, 'x', 3), 'bf16')), /output y is bf16/],
  gather: [(g) => op.gather(matrix(g, 'x', 3), matrix(g, 'y', 3)), /i64 index, got y: f32/],
  layerNorm: [(g) => op.layerNorm(matrix(g, 'x', 3), ones(g, 4), undefined, 1e-6), /should be f32\[3\]/],
  linear: [(g) => linear(image(g, 2), weightsOf(g), 3), /linear final_layer_norm: x.*is not \[S, K\]/],
  matmul: [(g) => op.matmul(matrix(g, 'x', 3), matrix(g, 'y', 3)), /x: f32\[n, 3\] and y: f32\[n, 3\]/],
  matmulInteger: [(g) => op.matmulInteger(matrix(g, 'x', 3), ones(g, 3, 2), ones(g, 2)), /do not multiply/],
  matmulThin: [(g) => op.matmulThin(matrix(g, 'x', 3), ones(g, 4, 2)), /do not multiply/],
  matmulTransposed: [(g) => op.matmulTransposed(matrix(g, 'x', 3), ones(g, 2, 4)), /do not multiply/],
  multiHeadAttention: [
    (g) => op.multiHeadAttention(matrix(g, 'x', 3), ones(g, 1), ones(g, 1), 1, 1),
    /do not fit/,
  ],
  'another graph': [(g) => op.add(matrix(g, 'x', 3), ones(new Graph('other'), 3)), /belongs to graph other/],
  pixelShuffle: [(g) => op.pixelShuffle(image(g, 3), 2), /pixelShuffle by 2/],
  pixelUnshuffle: [(g) => op.pixelUnshuffle(image(g, 3), 2), /pixelUnshuffle by 2/],
  'reshape size': [(g) => op.reshape(matrix(g, 'x', 6), [n, 4]), /6\*n and 4\*n elements/],
  'reshape unknowns': [(g) => op.reshape(image(g, 2), [t, n, 2]), /more than one unknown axis moves/],
  rmsNorm: [(g) => op.rmsNorm(matrix(g, 'x', 3), ones(g, 4), 1e-6), /should be f32\[3\]/],
  rotaryEmbedding: [
    (g) => op.rotaryEmbedding(matrix(g, 'x', 3), ones(g, 1, 1), ones(g, 1, 1), 1),
    /rotaryEmbedding/,
  ],
  scalar: [(g) => op.constant.scalar(g, 1, 'bool'), /no scalar constants of type bool/],
  split: [(g) => op.split(matrix(g, 'x', 6), [1, 2], 1), /3 in all/],
  transpose: [(g) => op.transpose(matrix(g, 'x', 6), [0, 2, 1]), /2 axes/],
  types: [(g) => op.mul(matrix(g, 'x', 3), op.cast(matrix(g, 'y', 3), 'i64')), /types differ/],
  unary: [(g) => op.tanh(g.input('x', 'i64', [1])), /takes floats, got x: i64/],
  weight: [(g) => g.weight('w', 'f32', [2], { file: 'f', offset: 0, length: 4 }), /4 bytes in f, expected 8/],
};

function weightsOf(graph: Graph): Weights {
  const file = path.join(import.meta.dirname, '../data/golden/clip_tiny.safetensors');
  const source = new WeightSource(openCheckpoint(file), clipDialects);
  return new Weights(graph, source, { precision: 'f32', fused: true }).at('final_layer_norm');
}

describe('a mistake in building a graph', () => {
  test.each(Object.entries(mistakes))(
    'in %s names what does not fit and the line that asked for it',
    (name, mistake) => {
      const [build, message] = mistake;
      const error = caught(() => build(new Graph('test')));
      expect(error.code).toBe('graphInvalid');
      expect(error.message).toMatch(message);
      const { at } = error.details as { at: string };
      const [, file, line] = at.match(/^(.+):(\d+):\d+$/) as unknown as [string, string, string];
      expect(file).toBe(import.meta.filename);
      const above = fs
        .readFileSync(import.meta.filename, 'utf8')
        .split('\n')
        .slice(0, Number(line));
      const entry = above.findLast((text) => /^ {2}\S.*: \[/.test(text));
      expect(entry, `line ${line}`).toMatch(new RegExp(`^ {2}'?${name}'?: \\[`));
    },
  );
});

function caught(action: () => unknown): RetouchError {
  try {
    action();
  } catch (error) {
    if (error instanceof RetouchError) return error;
    throw error;
  }
  throw new Error('no error was thrown');
}

describe('the bytes of a graph, read by an independent decoder,', () => {
  const folder = '/models/tiny';
  const graph = new Graph('decoded');
  const x = graph.input('x', 'f32', [1, 3, n, t]);
  const index = graph.input('index', 'i64', [2]);
  const range = {
    file: `${folder}/part/weights.safetensors`,
    offset: 2 ** 33 + 64,
    length: 4 * 4 * 3 * 3 * 3,
  };
  const weight = graph.weight('conv.weight', 'f32', [4, 3, 3, 3], range);
  const y = op.conv2d(x, weight, ones(graph, 4), { pads: [1, 1, 1, 1] });
  graph.output('y', op.gather(op.gelu(y, 'tanh'), index, 1));
  graph.output('z', op.layerNorm(op.reshape(y, [-1, 4]), ones(graph, 4), undefined, 1e-6));
  graph.output('a', op.multiHeadAttention(...three(graph), 2, -0.5));
  const model = fromBinary(ModelProtoSchema, encodeModel(graph, folder));
  const decoded = model.graph!;

  test('say which operators they use', () => {
    expect(model.producerName).toBe('retouch');
    expect(model.opsetImport.map(({ domain, version }) => [domain, Number(version)])).toEqual([
      ['', opset],
      ['com.microsoft', 1],
    ]);
  });

  test('hold the same nodes with the same attributes', () => {
    expect(decoded.name).toBe('decoded');
    expect(decoded.node.map(plainNode)).toEqual(
      graph.nodes.map(({ op, domain, inputs, outputs, attributes }) => ({
        op,
        domain,
        inputs,
        outputs,
        attributes: Object.fromEntries(
          Object.entries(attributes).map(([name, value]) => [
            name,
            typeof value === 'object' && 'float' in value ? Math.fround(value.float) : value,
          ]),
        ),
      })),
    );
    const kinds = new Set(decoded.node.flatMap((node) => node.attribute.map((attribute) => attribute.type)));
    expect([...kinds].sort()).toEqual([1, 2, 3, 7]);
  });

  test('hold the same inputs and outputs, unknown sizes by name', () => {
    const shapes = (values: readonly Var[]) =>
      values.map((value) => [value.name, { f32: 1, i64: 7 }[value.dtype as 'f32'], value.shape.map(String)]);
    const found = (values: typeof decoded.input) =>
      values.map(({ name, type }) => {
        const { case: kind, value } = type!.value;
        if (kind !== 'tensorType') throw new Error(`${name} is no tensor`);
        return [name, value.elemType, value.shape!.dim.map((dim) => String(dim.value.value))];
      });
    expect(found(decoded.input)).toEqual(shapes(graph.inputs));
    expect(found(decoded.output)).toEqual(shapes(graph.outputs));
  });

  test('hold the same constants, and name the range of a file for weights', () => {
    expect(decoded.initializer.map((tensor) => tensor.name)).toEqual([...graph.initializers.keys()]);
    for (const tensor of decoded.initializer) {
      const ours = graph.initializers.get(tensor.name)!;
      expect(tensor.dims.map(Number)).toEqual(ours.shape);
      if ('data' in ours) expect(tensor.rawData).toEqual(new Uint8Array(ours.data));
    }
    const stored = decoded.initializer.find((tensor) => tensor.name === 'conv.weight')!;
    expect(stored.dataLocation).toBe(1);
    expect(Object.fromEntries(stored.externalData.map(({ key, value }) => [key, value]))).toEqual({
      location: 'part/weights.safetensors',
      offset: String(2 ** 33 + 64),
      length: String(range.length),
    });
  });

  test('hold equal constants once', () => {
    const twice = new Graph('twice');
    expect(op.constant.scalar(twice, 2, 'f32')).toBe(op.constant.scalar(twice, 2, 'f32'));
    expect(op.constant.scalar(twice, 2, 'f32')).not.toBe(op.constant.scalar(twice, 2, 'i64'));
    expect(twice.initializers.size).toBe(2);
  });
});

function three(graph: Graph): [Var, Var, Var] {
  return ['q', 'k', 'v'].map((name) => graph.input(name, 'f32', [1, n, 8])) as [Var, Var, Var];
}

function plainNode(node: NodeProto) {
  const attributes = node.attribute.map(({ name, type, f, i, s, ints }) => {
    const values: Record<number, unknown> = {
      1: f,
      2: Number(i),
      3: Buffer.from(s).toString(),
      7: ints.map(Number),
    };
    return [name, values[type]];
  });
  return {
    op: node.opType,
    domain: node.domain,
    inputs: node.input,
    outputs: node.output,
    attributes: Object.fromEntries(attributes),
  };
}
