/**
 * The only door to ONNX Runtime: compiles a Graph for a device and runs it.
 */
import './no-telemetry.ts';
import fs from 'node:fs';
import path from 'node:path';
import * as ort from 'onnxruntime-node';
import { EngineError } from '../errors.ts';
import type { DeviceName } from './device.ts';
import type { Graph } from './graph.ts';
import { encodeModel } from './model-proto.ts';
import type { Feeds, HostData, HostType, Tensor } from './tensor.ts';

export type SessionOptions = {
  device: DeviceName;
  threads: number;
  /** `device` leaves results in the device's memory, to be fed to another session there, but those of one number. */
  results?: 'host' | 'device';
  /** Keep the working memory of a run for the next one; without it a run costs a little more and leaves nothing. */
  arena?: boolean;
  /** Prefix of a file to write ONNX Runtime's profile to. */
  profile?: string;
};

const typeNames = {
  f32: 'float32',
  f16: 'float16',
  i32: 'int32',
  i64: 'int64',
  u8: 'uint8',
  i8: 'int8',
} as const satisfies Record<HostType, ort.Tensor.Type>;

/** A result of a run, on the host or in the device's memory. */
class Result implements Tensor {
  readonly inner: ort.Tensor;

  constructor(inner: ort.Tensor) {
    this.inner = inner;
  }

  get dtype(): HostType {
    const found = Object.entries(typeNames).find(([, name]) => name === this.inner.type);
    if (found) return found[0] as HostType;
    throw new EngineError('graphInvalid', `a result is ${this.inner.type}: only f32, f16 and integers cross`);
  }

  get dims(): readonly number[] {
    return this.inner.dims;
  }

  get data(): HostData {
    return this.inner.data as HostData;
  }

  dispose(): void {
    const data = this.inner.location === 'cpu' ? (this.inner.data as HostData) : undefined;
    this.inner.dispose();
    // Without this the host's memory stays until the garbage collector runs.
    (data?.buffer as ArrayBuffer | undefined)?.transfer(0);
  }
}

function toRuntime(value: Tensor): ort.Tensor {
  if (value instanceof Result)
    return value.dtype === 'f16' && value.inner.location === 'cpu'
      ? halfTensor(value.inner.data as ArrayBufferView, value.dims)
      : value.inner;
  if (value.dtype === 'f16') return halfTensor(value.data, value.dims);
  return new ort.Tensor(typeNames[value.dtype] as 'float32', value.data as Float32Array, value.dims);
}

/**
 * The runtime's JavaScript part makes a Float16Array of f16 values where there is that class, and its native part takes
 * them for empty: it reads them as 16-bit integers.
 */
function halfTensor(
  { buffer, byteOffset, byteLength }: ArrayBufferView,
  dims: readonly number[],
): ort.Tensor {
  const bits = new ort.Tensor('uint16', new Uint16Array(buffer, byteOffset, byteLength / 2), dims);
  return Object.assign(bits, { type: 'float16' });
}

/**
 * Leaves a weight in the bits it is stored in until the run: folding its Cast or DequantizeLinear to f32 into the weight,
 * which the optimisers do when a session is made, would multiply the memory it takes. Small tensors (norms, biases) are
 * folded as ever.
 */
const keepStoredWeights = {
  constant_folding_max_output_size_in_bytes: String(2 ** 18),
  disable_specified_optimizers: 'FuseFp16InitializerToFp32NodeTransformer',
};

function deviceResults({ outputs }: Graph): Record<string, 'gpu-buffer' | 'cpu'> {
  return Object.fromEntries(
    outputs.map(({ name, shape }) => [name, shape.every((size) => size === 1) ? 'cpu' : 'gpu-buffer']),
  );
}

export class Session {
  readonly graph: Graph;
  private readonly inner: ort.InferenceSession;
  private readonly idle: ReadonlyMap<string, ort.Tensor>;

  private constructor(graph: Graph, inner: ort.InferenceSession) {
    this.graph = graph;
    this.inner = inner;
    this.idle = new Map([...graph.idle].map(([name, value]) => [name, toRuntime(value)]));
  }

  static async compile(graph: Graph, options: SessionOptions): Promise<Session> {
    const folder = weightsFolder(graph);
    const model = encodeModel(graph, folder);
    try {
      const inner = await ort.InferenceSession.create(model, {
        executionProviders: options.device === 'cpu' ? ['cpu'] : [options.device, 'cpu'],
        intraOpNumThreads: options.threads,
        interOpNumThreads: 1,
        enableCpuMemArena: options.arena ?? true,
        // A session's second run with the same shapes would allocate one block for all its values beside the arena:
        // 1.8 GB more for one block of FLUX.1 at 8,704 tokens, and a run slower by half.
        enableMemPattern: false,
        logSeverityLevel: 3,
        ...(options.results === 'device' && options.device === 'webgpu'
          ? { preferredOutputLocation: deviceResults(graph) }
          : {}),
        ...(options.profile ? { enableProfiling: true, profileFilePrefix: options.profile } : {}),
        extra: {
          session: {
            model_external_initializers_file_folder_path: folder,
            // Segments take turns: a pool that spins after its turn would steal the cores of the next one.
            force_spinning_stop: '1',
          },
          ...(graph.widens ? { optimization: keepStoredWeights } : {}),
        },
      });
      return new Session(graph, inner);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new EngineError(
        'graphRejected',
        `ONNX Runtime rejected graph ${graph.name}: ${reason}`,
        { graph: graph.name },
        { cause },
      );
    }
  }

  /**
   * Runs the graph. Inputs that none of `feeds` names take their idle value; names of other graphs' inputs may be among
   * them and are left out.
   *
   * @throws RetouchError `graphInvalid` when an input has neither
   */
  async run(...feeds: readonly Feeds[]): Promise<Record<string, Tensor>> {
    return results(await this.inner.run(this.inputs(feeds)));
  }

  /**
   * Runs the graph and writes results to the memory of the tensors `given` by their names, whose shapes must be the
   * results'. Others get memory of their own.
   */
  async runInto(given: Feeds, ...feeds: readonly Feeds[]): Promise<Record<string, Tensor>> {
    const outputs = this.graph.outputs.map(({ name }) => [name, given[name] ? toRuntime(given[name]) : null]);
    const all = results(await this.inner.run(this.inputs(feeds), Object.fromEntries(outputs)));
    // The runtime's binding answers with a copy.
    for (const name of Object.keys(given)) all[name]?.dispose?.();
    return { ...all, ...given };
  }

  private inputs(feeds: readonly Feeds[]): Record<string, ort.Tensor> {
    const values: Record<string, ort.Tensor> = {};
    for (const { name } of this.graph.inputs) {
      const fed = feeds.find((each) => each[name] !== undefined);
      const value = fed ? toRuntime(fed[name]!) : this.idle.get(name);
      if (!value)
        throw new EngineError('graphInvalid', `graph ${this.graph.name} is not fed its input ${name}`);
      values[name] = value;
    }
    return values;
  }

  endProfiling(): void {
    this.inner.endProfiling();
  }

  async release(): Promise<void> {
    await this.inner.release();
  }
}

function results(values: ort.InferenceSession.ReturnType): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, new Result(value)]));
}

/** A network someone else exported: an .onnx file with one image as its input. */
export class ForeignSession {
  /** The image's shape [1, 3, H, W]; an axis left open is a name or -1. */
  readonly input: readonly (number | string)[];
  readonly outputNames: readonly string[];
  private readonly inner: ort.InferenceSession;
  private readonly inputName: string;

  private constructor(inner: ort.InferenceSession, inputName: string, input: readonly (number | string)[]) {
    this.inner = inner;
    this.inputName = inputName;
    this.input = input;
    this.outputNames = inner.outputNames;
  }

  /**
   * @throws RetouchError `graphRejected` when ONNX Runtime cannot run the file, `modelConfigInvalid` when its input is
   *   not one f32 tensor [1, 3, H, W]
   */
  static async open(file: string, threads: number): Promise<ForeignSession> {
    const inner = await ort.InferenceSession.create(file, {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      enableCpuMemArena: false,
      logSeverityLevel: 3,
      extra: { session: { force_spinning_stop: '1' } },
    }).catch((cause: unknown) => {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new EngineError(
        'graphRejected',
        `ONNX Runtime rejected ${file}: ${reason}`,
        { path: file },
        { cause },
      );
    });
    const [input, ...more] = inner.inputMetadata;
    const fits =
      input?.isTensor && input.type === 'float32' && input.shape.length === 4 && input.shape[1] === 3;
    if (fits && more.length === 0) return new ForeignSession(inner, input.name, input.shape);
    const found = inner.inputMetadata.map((value) =>
      value.isTensor ? `${value.name}: ${value.type} [${value.shape.join(', ')}]` : value.name,
    );
    await inner.release();
    throw new EngineError(
      'modelConfigInvalid',
      `${file} takes ${found.join(' and ') || 'nothing'}; expected one float32 image [1, 3, height, width]`,
      { path: file },
    );
  }

  async run(image: Tensor): Promise<Tensor[]> {
    const results = await this.inner.run({ [this.inputName]: toRuntime(image) });
    return this.outputNames.map((name) => new Result(results[name] as ort.Tensor));
  }

  async release(): Promise<void> {
    await this.inner.release();
  }
}

/** The folder that all of a graph's weight files share; ONNX Runtime follows no link that leaves it. */
function weightsFolder(graph: Graph): string {
  const files = new Set<string>();
  for (const value of graph.initializers.values()) if ('range' in value) files.add(value.range.file);
  let folder: string | undefined;
  for (const file of files) {
    const parent = path.dirname(file);
    folder = folder === undefined ? parent : commonFolder(folder, parent);
  }
  return folder ?? fs.realpathSync('.');
}

function commonFolder(a: string, b: string): string {
  let folder = a;
  while (path.relative(folder, b).startsWith('..')) folder = path.dirname(folder);
  return folder;
}
