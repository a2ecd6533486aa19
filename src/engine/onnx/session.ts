/**
 * The only door to ONNX Runtime: compiles a Graph for a device and runs it.
 */
import fs from 'node:fs';
import path from 'node:path';
import * as ort from 'onnxruntime-node';
import { RetouchError } from '../../error.ts';
import type { DType } from './dtype.ts';
import type { Graph } from './graph.ts';
import { encodeModel } from './model-proto.ts';

export type Device = 'cpu' | 'webgpu';
export type SessionOptions = {
  device: Device;
  threads: number;
  /** `device` leaves results in the device's memory, to be fed to another session there. */
  results?: 'host' | 'device';
  /** Keep the working memory of a run for the next one; without it a run costs a little more and leaves nothing. */
  arena?: boolean;
  /** Prefix of a file to write ONNX Runtime's profile to. */
  profile?: string;
};

/** A tensor outside a graph: row-major, f32 or an integer type. */
export type Tensor = ort.Tensor;

/** What a linear layer's update is fed, by the inputs of nn/linear.ts. */
export type LayerFeed = Readonly<Record<string, Tensor>>;
/** By the layer's name; layers of other graphs may be among them. */
export type LayerFeeds = ReadonlyMap<string, LayerFeed>;

type Data = Float32Array | Int32Array | BigInt64Array | Uint8Array | Int8Array;
const typeNames: Partial<Record<DType, ort.Tensor.Type>> = {
  f32: 'float32',
  i32: 'int32',
  i64: 'int64',
  u8: 'uint8',
  i8: 'int8',
};

export function tensor(dtype: DType, data: Data, shape: readonly number[]): Tensor {
  const type = typeNames[dtype];
  const count = shape.reduce((a, b) => a * b, 1);
  if (!type || data.length !== count)
    throw new RetouchError(
      'graphInvalid',
      `a ${dtype} tensor of shape [${shape}] needs ${count} elements, found ${data.length}`,
    );
  return new ort.Tensor(type as 'float32', data as Float32Array, [...shape]);
}

export const f32Tensor = (data: Float32Array, shape: readonly number[]) => tensor('f32', data, shape);

export function floats(value: Tensor): Float32Array {
  return value.data as Float32Array;
}

export class Session {
  readonly graph: Graph;
  private readonly inner: ort.InferenceSession;
  private readonly empty: Record<string, Tensor>;

  private constructor(graph: Graph, inner: ort.InferenceSession) {
    this.graph = graph;
    this.inner = inner;
    this.empty = { ...emptyLora(graph), ...emptyImagePrompt(graph) };
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
        logSeverityLevel: 3,
        ...(options.results === 'device' && options.device === 'webgpu'
          ? { preferredOutputLocation: 'gpu-buffer' as const }
          : {}),
        ...(options.profile ? { enableProfiling: true, profileFilePrefix: options.profile } : {}),
        extra: {
          session: {
            model_external_initializers_file_folder_path: folder,
            // Segments take turns: a pool that spins after its turn would steal the cores of the next one.
            force_spinning_stop: '1',
          },
        },
      });
      return new Session(graph, inner);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new RetouchError(
        'graphRejected',
        `ONNX Runtime rejected graph ${graph.name}: ${reason}`,
        { graph: graph.name },
        { cause },
      );
    }
  }

  /** Runs the graph. Layers without an update are fed an empty one (rank 0), places without guides a token of zeros. */
  async run(feeds: Record<string, Tensor>, updates?: LayerFeeds): Promise<Record<string, Tensor>> {
    return this.inner.run({ ...this.empty, ...this.updateFeeds(updates), ...feeds });
  }

  private updateFeeds(updates: LayerFeeds | undefined): Record<string, Tensor> {
    const feeds: Record<string, Tensor> = {};
    if (!updates?.size) return feeds;
    for (const { name } of this.graph.loraSlots) {
      const update = updates.get(name);
      if (!update) continue;
      for (const [input, value] of Object.entries(update)) feeds[`${name}.${input}`] = value;
    }
    return feeds;
  }

  endProfiling(): void {
    this.inner.endProfiling();
  }

  async release(): Promise<void> {
    await this.inner.release();
  }
}

/** A network someone else exported: an .onnx file with one picture as its input. */
export class ForeignSession {
  /** The picture's shape [1, 3, H, W] and the shapes of the outputs; an axis left open is a name or -1. */
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
      throw new RetouchError(
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
    throw new RetouchError(
      'modelConfigInvalid',
      `${file} takes ${found.join(' and ') || 'nothing'}; expected one float32 picture [1, 3, height, width]`,
      { path: file },
    );
  }

  async run(image: Tensor): Promise<Tensor[]> {
    const results = await this.inner.run({ [this.inputName]: image });
    return this.outputNames.map((name) => results[name] as Tensor);
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

/** Where a part's columns begin and end in x·A, and how many rows are multiplied; an end past the rows there are is all. */
const place = (rows: bigint, column: number) => tensor('i64', BigInt64Array.of(rows, BigInt(column)), [2]);

/** A part's update: `b` [r, N] meets the columns of x·A from `at` on. */
export function partFeed(part: number, at: number, b: Tensor): Record<string, Tensor> {
  const rank = b.dims[0]!;
  const from = part === 0 ? {} : { [`lora_from_${part}`]: place(0n, at) };
  return { ...from, [`lora_to_${part}`]: place(rank > 0 ? 1n << 40n : 1n, at + rank), [`lora_b_${part}`]: b };
}

/** A part without an update: one row of no columns. */
export function emptyPartFeed(part: number, outputs: number): Record<string, Tensor> {
  return partFeed(part, 0, f32Tensor(new Float32Array(0), [0, outputs]));
}

function emptyLora(graph: Graph): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  for (const { name, inputs, parts } of graph.loraSlots) {
    feeds[`${name}.lora_a`] = f32Tensor(new Float32Array(0), [inputs, 0]);
    for (const [part, outputs] of parts.entries())
      for (const [input, value] of Object.entries(emptyPartFeed(part, outputs)))
        feeds[`${name}.${input}`] = value;
  }
  return feeds;
}

function emptyImagePrompt(graph: Graph): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  for (const { name, place, heads, headDim } of graph.imagePromptSlots) {
    feeds[`${name}.k`] = f32Tensor(new Float32Array(heads * headDim), [1, heads, headDim, 1]);
    feeds[`${name}.v`] = f32Tensor(new Float32Array(heads * headDim), [1, heads, 1, headDim]);
    feeds[`${place}.mask`] = f32Tensor(new Float32Array(1), [1, 1, 1, 1]);
    feeds[`${place}.rows`] = tensor('i64', BigInt64Array.of(1n), [1]);
  }
  return feeds;
}
