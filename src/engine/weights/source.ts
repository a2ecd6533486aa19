/**
 * A checkpoint as a network sees it: tensors by the reference implementation's names, with the shapes it expects.
 */
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { Dialect, Piece } from './dialects/index.ts';
import { joinFloats, readFloats } from './floats.ts';
import { rowsOf, type TensorEntry } from './stored.ts';

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
      const known = dialects.map(({ name, probe }) => `${name} (has ${probe})`).join(', ');
      throw new EngineError(
        'checkpointUnknown',
        `${checkpoint.path} has ${this.names.size} tensors (${sample}, …) in none of the layouts known here: ${known}`,
        { path: checkpoint.path },
      );
    }
    this.dialect = dialect;
  }

  /** The tensors of this network; an all-in-one file also holds other networks'. */
  get entries(): TensorEntry[] {
    const { prefix = '' } = this.dialect;
    return [...this.checkpoint.tensors.values()].filter(({ name }) => name.startsWith(prefix));
  }

  has(name: string): boolean {
    return this.dialect.locate(name, this.names).every((piece) => this.names.has(piece.name));
  }

  /** The byte ranges that, joined along the first axis, are tensor `name`. */
  parts(name: string): TensorEntry[] {
    return this.dialect.locate(name, this.names).map(({ name: stored, half }) => {
      const entry = this.checkpoint.tensors.get(stored);
      if (!entry) throw this.missing(name, stored);
      if (half === undefined) return entry;
      const rows = entry.shape[0]! / 2;
      // Halves end with a block even where rows do not.
      const length = entry.length / 2;
      return { ...rowsOf(entry, half * rows, rows), offset: entry.offset + half * length, length };
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
    return joinFloats(this.parts(name).map(readFloats));
  }

  /** Some rows (first axis) of a tensor as f32, for tables too large to hold, such as token embeddings. */
  rows(name: string, indices: readonly number[]): Float32Array {
    const [part] = this.parts(name);
    const [count = 0, width = 1] = part!.shape;
    if (Number.isNaN(rowsOf(part!, 0, 1).length))
      throw new EngineError(
        'dtypeUnsupported',
        `rows of ${width} numbers cannot be read from ${part!.name}: it is ${part!.dtype}`,
        { name, dtype: part!.dtype },
      );
    const out = new Float32Array(indices.length * width);
    indices.forEach((index, i) => {
      if (index < 0 || index >= count)
        throw new EngineError('tokenOutOfRange', `row ${index} of ${name}: it has ${count}`, {
          name,
          index,
          count,
        });
      out.set(readFloats(rowsOf(part!, index, 1)), i * width);
    });
    return out;
  }

  /** Whether any of these tensors exists: an optional part that lacks only some of its tensors is damaged, not absent. */
  hasAny(...names: string[]): boolean {
    return names.some((name) =>
      this.dialect.locate(name, this.names).some((piece) => this.names.has(piece.name)),
    );
  }

  /**
   * The number of blocks `stem.0`, `stem.1`, … with at least one tensor, so that an incomplete block is counted and its
   * missing tensor reported. `leaf` is any tensor of a block: it locates the stored blocks.
   */
  count(stem: string, leaf: string): number {
    const isThere = (n: number) => {
      const [{ name }] = this.dialect.locate(`${stem}.${n}.${leaf}`, this.names) as [Piece];
      const prefix = name.slice(0, name.lastIndexOf(`.${n}.`) + `.${n}.`.length);
      return [...this.names].some((stored) => stored.startsWith(prefix));
    };
    let n = 0;
    while (isThere(n)) n += 1;
    return n;
  }

  missing(name: string, stored: string): RetouchError {
    return new EngineError(
      'tensorMissing',
      `${this.checkpoint.path} (${this.dialect.name} layout) has no tensor ${stored}, needed for ${name}; it has ${this.names.size} tensors`,
      { path: this.checkpoint.path, tensor: stored },
    );
  }

  misshapen(name: string, found: readonly number[], expected: readonly number[]): RetouchError {
    return new EngineError(
      'tensorMisshapen',
      `tensor ${name} of ${this.checkpoint.path} has shape [${found}], expected [${expected}]`,
      { path: this.checkpoint.path, tensor: name, found, expected },
    );
  }
}
