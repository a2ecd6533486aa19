/**
 * Encodes a Graph as the bytes of an ONNX ModelProto. Field numbers: onnx/onnx.proto3.
 */
import path from 'node:path';
import type { Dim } from './dim.ts';
import { dtypes } from './dtype.ts';
import type { Attribute, Body, Graph, Initializer, Node, Var } from './graph.ts';
import { ProtoWriter } from './proto.ts';

const irVersion = 10;
export const opset = 21;

/**
 * @param root folder that every weight file lies under: locations are written relative to it, as ONNX Runtime
 *   accepts no absolute path and none that leaves the folder.
 */
export function encodeModel(graph: Graph, root: string): Uint8Array {
  const body = new ProtoWriter();
  for (const node of graph.nodes) body.message(1, nodeProto(node));
  body.string(2, graph.name);
  for (const initializer of graph.initializers.values()) body.message(5, tensorProto(initializer, root));
  for (const input of graph.inputs) body.message(11, valueInfo(input));
  for (const output of graph.outputs) body.message(12, valueInfo(output));
  return new ProtoWriter()
    .int(1, irVersion)
    .string(2, 'retouch')
    .message(7, body)
    .message(8, new ProtoWriter().string(1, '').int(2, opset))
    .message(8, new ProtoWriter().string(1, 'com.microsoft').int(2, 1))
    .finish();
}

function nodeProto(node: Node): ProtoWriter {
  const proto = new ProtoWriter();
  for (const input of node.inputs) proto.string(1, input);
  for (const output of node.outputs) proto.string(2, output);
  proto.string(3, node.outputs[0] ?? '').string(4, node.op);
  for (const [name, value] of Object.entries(node.attributes)) proto.message(5, attributeProto(name, value));
  return proto.string(7, node.domain);
}

function attributeProto(name: string, value: Attribute): ProtoWriter {
  const proto = new ProtoWriter().string(1, name);
  if (typeof value === 'number') return proto.int(3, value).int(20, 2);
  if (typeof value === 'string') return proto.string(4, value).int(20, 3);
  if (typeof value === 'object' && 'body' in value) return proto.message(6, bodyProto(value.body)).int(20, 5);
  if ('float' in value) return proto.float(2, value.float).int(20, 1);
  return proto.packedInts(8, value).int(20, 7);
}

function bodyProto({ name, nodes, inputs, outputs }: Body): ProtoWriter {
  const proto = new ProtoWriter();
  for (const node of nodes) proto.message(1, nodeProto(node));
  proto.string(2, name);
  for (const input of inputs) proto.message(11, valueInfo(input));
  for (const output of outputs) proto.message(12, valueInfo(output));
  return proto;
}

function tensorProto(tensor: Initializer, root: string): ProtoWriter {
  const proto = new ProtoWriter()
    .packedInts(1, tensor.shape)
    .int(2, dtypes[tensor.dtype].onnx)
    .string(8, tensor.name);
  if ('data' in tensor) return proto.bytes(9, tensor.data);
  if ('make' in tensor) return proto.bytes(9, tensor.make());
  const location = path.relative(root, tensor.range.file).split(path.sep).join('/');
  for (const [key, value] of [
    ['location', location],
    ['offset', String(tensor.range.offset)],
    ['length', String(tensor.range.length)],
  ] as const) {
    proto.message(13, new ProtoWriter().string(1, key).string(2, value));
  }
  return proto.int(14, 1);
}

function valueInfo(value: Var): ProtoWriter {
  const shape = new ProtoWriter();
  for (const dim of value.shape) shape.message(1, dimension(dim));
  const tensor = new ProtoWriter().int(1, dtypes[value.dtype].onnx).message(2, shape);
  return new ProtoWriter().string(1, value.name).message(2, new ProtoWriter().message(1, tensor));
}

function dimension(dim: Dim): ProtoWriter {
  return typeof dim === 'number' ? new ProtoWriter().int(1, dim) : new ProtoWriter().string(2, String(dim));
}
