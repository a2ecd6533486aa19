/**
 * The weights of a module inside a graph under construction: a source seen under a name prefix, which checks the
 * expected shape (like candle's VarBuilder).
 */
import { EngineError } from '../errors.ts';
import type { DType, FloatType } from '../onnx/dtype.ts';
import type { Graph, Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { PrecisionName } from './conversion/layers.ts';
import { readable, readFloats } from './floats.ts';
import { isBlockType } from './ggml-blocks.ts';
import type { PreparedLinear, PreparedWeights } from './prepared.ts';
import type { WeightSource } from './source.ts';
import type { TensorEntry } from './stored.ts';

/** How a network computes: `precision` is that of its linear layers; everything between them is f32. */
export type Compute = {
  precision: PrecisionName;
  /**
   * In f16, multiply operands of f16, on a device that sums their products in f32. Otherwise weights are stored in f16
   * and widened to f32 in the product.
   */
  half?: boolean;
  /** Use ONNX Runtime's fused attention and rotary embedding; plain operators where a device gets them wrong. */
  fused: boolean;
  /** The largest number of rows that the row-wise parts of a transformer's block compute at once; all by default. */
  bandRows?: number;
  /**
   * Multiply four-bit weights as eight-bit integers, to which they are expanded in each pass, in the parts that are computed in
   * bands: on the CPU, where products in blocks of four bits cost nearly three times as much.
   */
  expands?: boolean;
  /**
   * Give the host a number after each segment. It waits for the number, and so for the device: WebGPU would otherwise
   * allocate the large tensors of all segments before it has computed the first.
   */
  waits?: boolean;
  /** Blocks of queries that attention in plain operators is computed in, one after the other; one by default. */
  queryBlocks?: number;
  /** Layers, by path, that take more than a low-rank update. */
  forms?: UpdateForms;
  /** The places where blocks attend to guide images; none by default. */
  places?: readonly ImagePromptPlace[];
  /** Whether blocks take and give keys and values of reference tokens, to be kept from step to step. */
  keepsReferences?: boolean;
};

/** The place where an IP-Adapter's attention is added: the attention's output in a block, or the block's output stream. */
export type ImagePromptPlace = 'attention' | 'residual';

/** By the layer's path. */
export type UpdateForms = ReadonlyMap<string, UpdateForm>;

/** The LoRA forms that a layer is compiled for besides a low-rank update: their sizes are part of the graph. */
export type UpdateForm = {
  /** A factor for each output. */
  scaled: boolean;
  /**
   * Sizes of successive ranges of outputs, each with its own factor for each input; empty if inputs have no factors. In
   * a layer that is `scaled` too, the ranges' products are added to the scaled one.
   */
  ranges: readonly number[];
  kroneckers: readonly KroneckerForm[];
};

/** left [a, b] ⊗ right [c, d] with b·d = K; its a·c rows, cut into segments, are rows of the layer. */
export type KroneckerForm = {
  a: number;
  b: number;
  c: number;
  d: number;
  segments: readonly RowSegment[];
};

/** Rows [stored, stored + count) of a matrix are the rows from `at` on of the layer's weight. */
export type RowSegment = { stored: number; at: number; count: number };

const stored: Partial<Record<TensorEntry['dtype'], DType>> = {
  F32: 'f32',
  F16: 'f16',
  BF16: 'bf16',
  F8_E4M3: 'f8e4m3',
  F8_E5M2: 'f8e5m2',
  I8: 'i8',
};

export class Weights {
  readonly graph: Graph;
  readonly source: WeightSource;
  readonly compute: Compute;
  readonly path: string;
  private readonly ready: PreparedWeights | undefined;

  constructor(graph: Graph, source: WeightSource, compute: Compute, prepared?: PreparedWeights, path = '') {
    this.graph = graph;
    this.source = source;
    this.compute = compute;
    this.ready = prepared;
    this.path = path;
  }

  at(name: string | number): Weights {
    return new Weights(this.graph, this.source, this.compute, this.ready, this.name(String(name)));
  }

  name(leaf: string): string {
    return this.path === '' ? leaf : `${this.path}.${leaf}`;
  }

  hasAny(...leaves: string[]): boolean {
    return this.source.hasAny(...leaves.map((leaf) => this.name(leaf)));
  }

  /**
   * The tensor as a value of the graph, f32 unless f16 is requested; a [C, C, 1, 1] kernel may be requested as [C, C].
   */
  tensor(leaf: string, shape: readonly number[], dtype: FloatType = 'f32'): Var {
    const name = this.name(leaf);
    const parts = this.source.parts(name);
    const found = this.source.shape(name);
    if (squeeze(found) !== squeeze(shape)) throw this.source.misshapen(name, found, shape);
    const ready = this.ready?.floats(name);
    if (ready) return op.cast(this.graph.weight(name, stored[ready.dtype]!, shape, ready), dtype);
    const values = parts.map((part) =>
      op.cast(this.part(part, parts.length === 1 ? shape : part.shape), dtype),
    );
    return op.concat(values, 0);
  }

  /** The reduced form of a linear weight [N, K], if this network computes in one and has it. */
  reduced(leaf: string, outputs: number, inputs: number): PreparedLinear | undefined {
    return this.ready?.linear(this.graph, this.name(leaf), outputs, inputs);
  }

  /** Pieces of a linear weight's rows in four bits, for products that are computed in more (`Compute.expands`). */
  nibbles(leaf: string, inputs: number, sizes: readonly number[]): op.BlockWeights[] | undefined {
    return this.ready?.nibbles(this.graph, this.name(leaf), inputs, sizes);
  }

  /** One factor, or one for each row of a tensor with so many axes. */
  private scale(factors: Float32Array, axes: number): Var {
    const shape = factors.length === 1 ? [] : [factors.length, ...Array<number>(axes - 1).fill(1)];
    return op.constant.f32(this.graph, factors, shape);
  }

  private part(part: TensorEntry, shape: readonly number[]): Var {
    const name = `${part.name}@${part.offset}`;
    const dtype = stored[part.dtype];
    if (dtype && (dtype !== 'i8' || part.scale)) {
      const value = this.graph.weight(name, dtype, shape, part);
      return part.scale ? op.mul(op.cast(value, 'f32'), this.scale(part.scale, shape.length)) : value;
    }
    // Linear layers are prepared; other tensors stored in blocks are small. They are dequantised when the graph is compiled,
    // not when it is built: most graphs are built only to list a network's layers.
    if (isBlockType(part.dtype)) return this.graph.deferred(name, 'f32', shape, () => readFloats(part));
    throw new EngineError(
      'dtypeUnsupported',
      `tensor ${part.name} of ${part.file} is ${part.dtype}; this build reads ${readable}`,
      { tensor: part.name, dtype: part.dtype },
    );
  }
}

function squeeze(shape: readonly number[]): string {
  return shape.filter((dim) => dim !== 1).join(',');
}
