/**
 * A typed ONNX graph under construction. An operator (operators/*.ts) is a function Var → Var that infers the
 * type and shape of its result when it is called, so a mistake points at the line of the model file that made it.
 */
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import { type Dim, type Shape, shapeText, sizeOf } from './dim.ts';
import { type DType, dtypes } from './dtype.ts';
import type { Tensor } from './tensor.ts';

/** A value in a graph: the result of one operator, an input or a constant. */
export class Var {
  readonly graph: Graph;
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;

  constructor(graph: Graph, name: string, dtype: DType, shape: Shape) {
    this.graph = graph;
    this.name = name;
    this.dtype = dtype;
    this.shape = shape;
  }

  get rank(): number {
    return this.shape.length;
  }

  /** The size of an axis; negative counts from the end. */
  dim(axis: number): Dim {
    const dim = this.shape.at(axis);
    if (dim === undefined) throw graphError(`axis ${axis} of ${this}: it has ${this.rank} axes`);
    return dim;
  }

  toString(): string {
    return `${this.name}: ${this.dtype}${shapeText(this.shape)}`;
  }
}

export type Attribute = number | string | readonly number[] | { float: number } | { body: Body };
/** A subgraph of an operator, such as a Scan's body. It may use every value and initializer of the outer graph. */
export type Body = { name: string; nodes: readonly Node[]; inputs: readonly Var[]; outputs: readonly Var[] };
export type Node = {
  op: string;
  domain: '' | 'com.microsoft';
  inputs: string[];
  outputs: string[];
  attributes: Record<string, Attribute>;
};

/** A byte range of a file on disk that holds a tensor in row-major little-endian order. */
export type FileRange = { file: string; offset: number; length: number };
export type Initializer = { name: string; dtype: DType; shape: readonly number[] } & (
  | { data: Uint8Array }
  /** Bytes that are made when the graph is encoded. */
  | { make: () => Uint8Array }
  | { range: FileRange }
);

/**
 * A linear layer of the graph, [S, inputs] to [S, outputs]; its outputs are used in `parts`. `precise` ones are never
 * quantised.
 */
export type LinearLayer = {
  name: string;
  inputs: number;
  outputs: number;
  parts: readonly number[];
  precise: boolean;
};

export class Graph {
  readonly name: string;
  readonly nodes: Node[] = [];
  readonly inputs: Var[] = [];
  readonly outputs: Var[] = [];
  readonly initializers = new Map<string, Initializer>();
  /** Values of the inputs that need not be fed. */
  readonly idle = new Map<string, Tensor>();
  /** Whether weights are stored in fewer bits than they are multiplied in: session.ts keeps them so. */
  widens = false;
  /** Every linear layer, in the order of their building. */
  readonly linears: LinearLayer[] = [];
  /** The list that nodes are added to: the graph's own or that of the subgraph being built. */
  private scope = this.nodes;
  private counter = 0;
  private readonly constants = new Map<string, Var>();

  constructor(name: string) {
    this.name = name;
  }

  /** @param idle the input's value in a run that does not feed it */
  input(name: string, dtype: DType, shape: Shape, idle?: Tensor): Var {
    if (!crosses(dtype))
      throw graphError(`input ${name} is ${dtype}: only f32, f16 and integers cross a graph's boundary`);
    if (this.inputs.some((input) => input.name === name)) throw graphError(`input ${name} exists already`);
    const value = new Var(this, name, dtype, shape);
    if (idle && !fits(idle, value))
      throw graphError(`the idle value of ${value} is ${idle.dtype}[${idle.dims.join(', ')}]`);
    this.inputs.push(value);
    if (idle) this.idle.set(name, idle);
    return value;
  }

  output(name: string, value: Var): void {
    if (!crosses(value.dtype))
      throw graphError(
        `output ${name} is ${value.dtype}: only f32, f16 and integers cross a graph's boundary`,
      );
    const out = new Var(this, name, value.dtype, value.shape);
    this.nodes.push({ op: 'Identity', domain: '', inputs: [value.name], outputs: [name], attributes: {} });
    this.outputs.push(out);
  }

  /** A tensor that stays where it is on disk. */
  weight(name: string, dtype: DType, shape: readonly number[], range: FileRange): Var {
    const expected = (sizeOf(shape) as number) * dtypes[dtype].bytes;
    if (range.length !== expected)
      throw graphError(`weight ${name}: ${range.length} bytes in ${range.file}, expected ${expected}`);
    if (!this.initializers.has(name)) this.initializers.set(name, { name, dtype, shape, range });
    return new Var(this, name, dtype, shape);
  }

  /** A tensor stored in the graph itself. Its numbers are computed each time the graph is encoded. */
  deferred(name: string, dtype: 'f32', shape: readonly number[], values: () => Float32Array): Var {
    const make = () => {
      const { buffer, byteOffset, byteLength } = values();
      return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
    };
    if (!this.initializers.has(name)) this.initializers.set(name, { name, dtype, shape, make });
    return new Var(this, name, dtype, shape);
  }

  /** A small tensor stored in the graph itself; equal constants are stored once. */
  constant(dtype: DType, shape: readonly number[], data: Uint8Array): Var {
    const key = `${dtype}${shapeText(shape)}:${data.length > 256 ? `#${this.counter}` : Buffer.from(data).toString('base64')}`;
    const known = this.constants.get(key);
    if (known) return known;
    const name = this.unique('const');
    this.initializers.set(name, { name, dtype, shape, data });
    const value = new Var(this, name, dtype, shape);
    this.constants.set(key, value);
    return value;
  }

  /** Adds a node with one result per given type and shape. */
  emit(
    op: string,
    inputs: readonly (Var | undefined)[],
    results: readonly { dtype: DType; shape: Shape }[],
    attributes: Record<string, Attribute> = {},
    domain: Node['domain'] = '',
  ): Var[] {
    for (const input of inputs)
      if (input && input.graph !== this)
        throw graphError(`${op}: ${input} belongs to graph ${input.graph.name}, not to ${this.name}`);
    const outputs = results.map(({ dtype, shape }) => new Var(this, this.unique(op), dtype, shape));
    const names = inputs.map((input) => input?.name ?? '');
    // An empty name at the end makes ONNX Runtime's LayerNormalization read a bias that is not there.
    while (names.at(-1) === '') names.pop();
    this.scope.push({
      op,
      domain,
      inputs: names,
      outputs: outputs.map((output) => output.name),
      attributes,
    });
    return outputs;
  }

  /**
   * A subgraph of the nodes that `build` emits. Initializers and graph inputs that it adds belong to the outer graph.
   *
   * @param inputs types and shapes of the subgraph's inputs
   */
  nested(
    name: string,
    inputs: readonly { dtype: DType; shape: Shape }[],
    build: (inputs: Var[]) => Var[],
  ): Body {
    const outer = this.scope;
    const nodes: Node[] = [];
    this.scope = nodes;
    try {
      const given = inputs.map(({ dtype, shape }) => new Var(this, this.unique(name), dtype, shape));
      // ONNX demands that a subgraph's outputs are results of its own nodes.
      const outputs = build(given).map((value) => this.emit('Identity', [value], [value])[0]!);
      return { name: this.unique(name), nodes, inputs: given, outputs };
    } finally {
      this.scope = outer;
    }
  }

  /** Whether nodes are added to a subgraph. */
  get isNested(): boolean {
    return this.scope !== this.nodes;
  }

  /** Emits the nodes of `build` in the graph itself, before the subgraph being built: they run once, not in each of its passes. */
  outside<T>(build: () => T): T {
    const inner = this.scope;
    this.scope = this.nodes;
    try {
      return build();
    } finally {
      this.scope = inner;
    }
  }

  /** Identifies the graph or subgraph that nodes are added to: values of a subgraph are unknown outside of it. */
  get place(): object {
    return this.scope;
  }

  private unique(stem: string): string {
    this.counter += 1;
    return `${stem}_${this.counter}`;
  }
}

/** Symbolic sizes take the values of the feeds. */
function fits({ dtype, dims }: Tensor, value: Var): boolean {
  return (
    dtype === value.dtype &&
    dims.length === value.rank &&
    dims.every((size, axis) => typeof value.shape[axis] !== 'number' || value.shape[axis] === size)
  );
}

/** Other floats get lost between JavaScript and the runtime; f16 passes as bits that only graphs read. */
function crosses(dtype: DType): boolean {
  return !['bf16', 'f8e4m3', 'f8e5m2', 'u4'].includes(dtype);
}

/** An error in building a graph, with the line outside onnx/ and nn/ (a model file's or a test's) that caused it. */
export function graphError(message: string): RetouchError {
  const trace = new Error().stack?.split('\n').slice(2) ?? [];
  const line = trace.find((frame) => /:\d+:\d+\)?$/.test(frame) && !/engine[\\/](onnx|nn)[\\/]/.test(frame));
  const at = line?.match(/\(?([^()\s]+:\d+:\d+)\)?$/)?.[1]?.replace(/^file:\/\//, '') ?? 'unknown line';
  return new EngineError('graphInvalid', `${message} (at ${at})`, { at });
}
