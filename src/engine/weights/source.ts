/**
 * A checkpoint as a network sees it: tensors by the reference implementation's names, with the shapes it expects.
 */
import { RetouchError } from '../../error.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { Dialect } from './dialects/index.ts';
import { readFloats, toFloats } from './floats.ts';
import { readBytes, storedBytes, type TensorEntry } from './safetensors.ts';

/** A stored byte range with the shape it has in the network. */
export type Part = TensorEntry;

export class WeightSource {
  readonly checkpoint: Checkpoint;
  readonly dialect: Dialect;
  private readonly names: ReadonlySet<string>;

  constructor(checkpoint: Checkpoint, dialects: readonly Dialect[]) {
    this.checkpoint = checkpoint;
    this.names = new Set(checkpoint.tensors.keys());
    const dialect = dialects.find((candidate) => candidate.matches(this.names));
    if (!dialect) {
      const sample = [...this.names].slice(0, 3).join(', ');
      const known = dialects.map((candidate) => candidate.name).join(', ');
      throw new RetouchError(
        'checkpointUnknown',
        `${checkpoint.path} has ${this.names.size} tensors (${sample}, …) in none of the layouts known here: ${known}`,
        { path: checkpoint.path },
      );
    }
    this.dialect = dialect;
  }

  has(name: string): boolean {
    return this.dialect.locate(name, this.names).every((piece) => this.names.has(piece.name));
  }

  /** The byte ranges that, joined along the first axis, are tensor `name`. */
  parts(name: string): Part[] {
    return this.dialect.locate(name, this.names).map(({ name: stored, half }) => {
      const entry = this.checkpoint.tensors.get(stored);
      if (!entry) throw this.missing(name, stored);
      if (half === undefined) return entry;
      const [rows = 0, ...rest] = entry.shape;
      const length = entry.length / 2;
      return { ...entry, shape: [rows / 2, ...rest], offset: entry.offset + half * length, length };
    });
  }

  /** The joined shape of tensor `name`. */
  shape(name: string): number[] {
    const shapes = this.parts(name).map((part) => part.shape);
    const rows = shapes.reduce((sum, shape) => sum + (shape[0] ?? 1), 0);
    return [rows, ...(shapes[0]?.slice(1) ?? [])];
  }

  /** The values of tensor `name` as f32. */
  floats(name: string): Float32Array {
    const parts = this.parts(name);
    if (parts.length === 1) return readFloats(parts[0]!);
    const arrays = parts.map((part) => readFloats(part));
    const joined = new Float32Array(arrays.reduce((sum, array) => sum + array.length, 0));
    let at = 0;
    for (const array of arrays) {
      joined.set(array, at);
      at += array.length;
    }
    return joined;
  }

  /** Some rows (first axis) of a tensor as f32, for tables too large to hold, such as token embeddings. */
  rows(name: string, indices: readonly number[]): Float32Array {
    const [part] = this.parts(name);
    const [count = 0, width = 1] = part!.shape;
    const rowBytes = width * storedBytes[part!.dtype];
    const out = new Float32Array(indices.length * width);
    indices.forEach((index, i) => {
      if (index < 0 || index >= count)
        throw new RetouchError('tokenOutOfRange', `row ${index} of ${name}: it has ${count}`, {
          name,
          index,
          count,
        });
      const range = { ...part!, offset: part!.offset + index * rowBytes, length: rowBytes };
      out.set(toFloats(readBytes(range), part!.dtype), i * width);
    });
    return out;
  }

  /** The number of blocks `stem.0`, `stem.1`, … that have `stem.i.probe`. */
  count(stem: string, probe: string): number {
    let n = 0;
    while (this.has(`${stem}.${n}.${probe}`)) n += 1;
    return n;
  }

  missing(name: string, stored: string): RetouchError {
    return new RetouchError(
      'tensorMissing',
      `${this.checkpoint.path} (${this.dialect.name} layout) has no tensor ${stored}, needed for ${name}; it has ${this.names.size} tensors`,
      { path: this.checkpoint.path, tensor: stored },
    );
  }

  misshapen(name: string, found: readonly number[], expected: readonly number[]): RetouchError {
    return new RetouchError(
      'tensorMisshapen',
      `tensor ${name} of ${this.checkpoint.path} has shape [${found}], expected [${expected}]`,
      { path: this.checkpoint.path, tensor: name, found, expected },
    );
  }
}
