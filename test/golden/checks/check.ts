/** The results of a golden check, and the folder it reads. */
import fs from 'node:fs';
import path from 'node:path';
import { toFloats } from '../../../src/engine/weights/floats.ts';
import { openSafetensors } from '../../../src/engine/weights/safetensors.ts';
import { readBytes, type TensorFile } from '../../../src/engine/weights/stored.ts';
import { type Difference, difference } from '../compare.ts';

/** One tensor compared, or something left out and why. */
export type Compared = { name: string; tolerance: number; pass: boolean } & Difference;
export type Line = Compared | { name: string; skipped: string };
export type Lines = AsyncGenerator<Line>;

/** Compares by relative L2; a NaN on either side fails. */
export function compared(
  name: string,
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
): Compared {
  if (found.length !== expected.length)
    return {
      name: `${name} (${found.length} values, expected ${expected.length})`,
      tolerance,
      pass: false,
      maxAbs: Number.NaN,
      relativeL2: Number.NaN,
    };
  const measured = difference(found, expected);
  return { name, tolerance, pass: measured.relativeL2 <= tolerance, ...measured };
}

/** The tensors of an `X_io.safetensors`. */
export class Tensors {
  private readonly file: TensorFile;
  readonly metadata: Record<string, string>;

  constructor(path: string) {
    this.file = openSafetensors(path);
    this.metadata = this.file.metadata;
  }

  has(name: string): boolean {
    return this.file.tensors.has(name);
  }

  get names(): string[] {
    return [...this.file.tensors.keys()];
  }

  shape(name: string): number[] {
    return this.entry(name).shape;
  }

  floats(name: string): Float32Array {
    const entry = this.entry(name);
    return toFloats(readBytes(entry), entry.dtype);
  }

  integers(name: string): number[] {
    const bytes = readBytes(this.entry(name));
    return Array.from({ length: bytes.length / 8 }, (_, i) => Number(bytes.readBigInt64LE(8 * i)));
  }

  private entry(name: string) {
    const entry = this.file.tensors.get(name);
    if (!entry) throw new Error(`the golden file has no tensor ${name}`);
    return entry;
  }
}

/** Weight files of a folder with their tensors: X.safetensors, X.diffusers.safetensors … beside X_io.safetensors. */
export function weightFiles(folder: string): { file: string; io: string; label: string }[] {
  const names = fs
    .readdirSync(folder)
    .filter((name) => name.endsWith('.safetensors') && !name.endsWith('_io.safetensors'));
  return names.sort().flatMap((name) => {
    const stem = name.split('.')[0]!;
    const io = path.join(folder, `${stem}_io.safetensors`);
    return fs.existsSync(io)
      ? [{ file: path.join(folder, name), io, label: name.replace(/\.safetensors$/, '') }]
      : [];
  });
}
