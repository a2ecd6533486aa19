/**
 * The weights of a module inside a graph under construction: a source seen under a name prefix, which checks the
 * shape asked for (the habit of candle's VarBuilder).
 */
import { RetouchError } from '../../error.ts';
import type { DType, FloatType } from '../onnx/dtype.ts';
import type { Graph, Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { QuantizedWeights } from './quantized.ts';
import type { Part, WeightSource } from './source.ts';

/** How a network computes: `f16` and `int8` concern its matrix products; everything between them is f32. */
export type Compute = {
  product: 'f32' | 'f16' | 'int8';
  /** Use ONNX Runtime's fused attention and rotary embedding; plain operators where a device gets them wrong. */
  fused: boolean;
};

const stored: Record<string, DType> = { F32: 'f32', F16: 'f16', BF16: 'bf16' };

export class Weights {
  readonly graph: Graph;
  readonly source: WeightSource;
  readonly compute: Compute;
  readonly path: string;
  private readonly int8: QuantizedWeights | undefined;

  constructor(graph: Graph, source: WeightSource, compute: Compute, int8?: QuantizedWeights, path = '') {
    this.graph = graph;
    this.source = source;
    this.compute = compute;
    this.int8 = int8;
    this.path = path;
  }

  at(name: string | number): Weights {
    return new Weights(this.graph, this.source, this.compute, this.int8, this.name(String(name)));
  }

  name(leaf: string): string {
    return this.path === '' ? leaf : `${this.path}.${leaf}`;
  }

  hasAny(...leaves: string[]): boolean {
    return this.source.hasAny(...leaves.map((leaf) => this.name(leaf)));
  }

  /** The tensor as a value of the graph, f32 unless f16 is asked for; a [C, C, 1, 1] kernel may be asked for as [C, C]. */
  tensor(leaf: string, shape: readonly number[], dtype: FloatType = 'f32'): Var {
    const name = this.name(leaf);
    const parts = this.source.parts(name);
    const found = this.source.shape(name);
    if (squeeze(found) !== squeeze(shape)) throw this.source.misshapen(name, found, shape);
    const values = parts.map((part) =>
      op.cast(this.part(part, parts.length === 1 ? shape : undefined), dtype),
    );
    return op.concat(values, 0);
  }

  /** The eight-bit form of a linear weight [N, K], if this network computes in int8 and has one. */
  quantized(leaf: string, outputs: number, inputs: number): { values: Var; columns: Var } | undefined {
    if (this.compute.product !== 'int8') return undefined;
    return this.int8?.find(this.graph, this.name(leaf), outputs, inputs);
  }

  private part(part: Part, shape: readonly number[] | undefined): Var {
    const dtype = stored[part.dtype];
    if (!dtype)
      throw new RetouchError(
        'dtypeUnsupported',
        `tensor ${part.name} of ${part.file} is ${part.dtype}; this build reads F32, F16 and BF16`,
        { tensor: part.name, dtype: part.dtype },
      );
    const name = `${part.name}@${part.offset}`;
    return this.graph.weight(name, dtype, shape ?? part.shape, part);
  }
}

function squeeze(shape: readonly number[]): string {
  return shape.filter((dim) => dim !== 1).join(',');
}
