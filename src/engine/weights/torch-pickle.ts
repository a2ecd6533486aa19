/**
 * Reads what torch.save wrote: a zip of a pickle and of the tensors' bytes. A pickle is a program; only the
 * instructions that build dictionaries of tensors are interpreted, and no function that it names is ever called.
 * Sources: CPython Lib/pickletools.py; PyTorch torch/_weights_only_unpickler.py, torch/_utils.py `_rebuild_tensor_v2`.
 */
import fs from 'node:fs';
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import { bytesOf, countOf, realPath, type StoredType, type TensorEntry, type TensorFile } from './stored.ts';
import { readZip } from './zip.ts';

const storages: Readonly<Record<string, StoredType>> = {
  'torch DoubleStorage': 'F64',
  'torch FloatStorage': 'F32',
  'torch HalfStorage': 'F16',
  'torch BFloat16Storage': 'BF16',
  'torch LongStorage': 'I64',
  'torch IntStorage': 'I32',
  'torch ShortStorage': 'I16',
  'torch CharStorage': 'I8',
  'torch ByteStorage': 'U8',
  'torch BoolStorage': 'BOOL',
};
const builders = [
  'collections OrderedDict',
  'torch._utils _rebuild_tensor_v2',
  'torch._utils _rebuild_parameter',
];

/** A global of the pickle, represented by its name. */
class Global {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}
type Stored = { dtype: StoredType; key: string };
class Tensor {
  readonly stored: Stored;
  readonly start: number;
  readonly shape: number[];
  readonly strides: number[];
  constructor(stored: Stored, start: number, shape: number[], strides: number[]) {
    this.stored = stored;
    this.start = start;
    this.shape = shape;
    this.strides = strides;
  }
}
const mark = Symbol('mark');

const zip = 'PK\x03\x04';
/** The pickle of PyTorch's magic number, at the start of its older format. */
const old = '\x80\x02\x8a\x0a';

export function isTorchPickle(path: string): boolean {
  const fd = fs.openSync(realPath(path), 'r');
  try {
    const bytes = Buffer.alloc(4);
    return fs.readSync(fd, bytes, 0, 4, 0) === 4 && [zip, old].includes(bytes.toString('latin1'));
  } finally {
    fs.closeSync(fd);
  }
}

/** Dictionaries in dictionaries are one, their keys joined by dots. */
export function openTorchPickle(path: string): TensorFile {
  const file = realPath(path);
  const fd = fs.openSync(file, 'r');
  try {
    const start = Buffer.alloc(4);
    fs.readSync(fd, start, 0, 4, 0);
    if (start.toString('latin1') === old)
      throw invalid(
        path,
        'PyTorch before 1.6 wrote it; torch.save makes a newer one of what torch.load reads',
      );
    const entries = readZip(path, fd);
    const [name, program] = [...entries].find(([name]) => /^[^/]+\/data\.pkl$/.test(name)) ?? [];
    if (!name || !program) throw invalid(path, 'it is a zip without a pickle of tensors');
    const bytes = Buffer.alloc(program.length);
    fs.readSync(fd, bytes, 0, program.length, program.offset);
    const root = new Unpickler(path, bytes).run();
    if (!(root instanceof Map)) throw invalid(path, 'what it holds is no dictionary');
    const folder = name.slice(0, name.lastIndexOf('/'));
    const tensors = new Map<string, TensorEntry>();
    for (const [key, tensor] of flatten(root)) {
      const storage = entries.get(`${folder}/data/${tensor.stored.key}`);
      if (!storage) throw invalid(path, `the bytes of ${key} are not in it`);
      tensors.set(key, locate(path, file, key, tensor, storage));
    }
    return { tensors, metadata: {} };
  } finally {
    fs.closeSync(fd);
  }
}

function locate(
  path: string,
  file: string,
  name: string,
  { stored, start, shape, strides }: Tensor,
  storage: { offset: number; length: number },
): TensorEntry {
  const dense = shape.map((_, i) => countOf(shape.slice(i + 1)));
  if (shape.some((size, i) => size > 1 && strides[i] !== dense[i]))
    throw invalid(path, `${name} is a view of other strides ([${strides}] for [${shape}])`);
  const [before, length] = [bytesOf(stored.dtype, start), bytesOf(stored.dtype, countOf(shape))];
  if (before + length > storage.length)
    throw invalid(path, `${name} of [${shape}] needs ${before + length} bytes, and it has ${storage.length}`);
  return { name, dtype: stored.dtype, shape, file, offset: storage.offset + before, length };
}

/** A dictionary may hold itself. */
const deepest = 8;

function* flatten(dictionary: Map<unknown, unknown>, prefix = '', depth = 0): Generator<[string, Tensor]> {
  for (const [key, value] of dictionary) {
    if (typeof key !== 'string' || depth > deepest) continue;
    if (value instanceof Tensor) yield [`${prefix}${key}`, value];
    else if (value instanceof Map) yield* flatten(value, `${prefix}${key}.`, depth + 1);
  }
}

/** The instructions that protocol 2 needs for dictionaries, lists, numbers, texts and tensors. */
class Unpickler {
  private readonly path: string;
  private readonly program: Buffer;
  private at = 0;
  private readonly stack: unknown[] = [];
  private readonly memo = new Map<number, unknown>();

  constructor(path: string, program: Buffer) {
    this.path = path;
    this.program = program;
  }

  run(): unknown {
    for (;;) {
      const at = this.at;
      const code = this.take(1).toString('latin1');
      if (code === '.') return this.pop();
      if (!this.step(code)) {
        const shown = `0x${code.charCodeAt(0).toString(16)}`;
        throw invalid(
          this.path,
          `its pickle has the instruction ${shown} at ${at}, which tensors do not need`,
        );
      }
    }
  }

  private step(code: string): boolean {
    const { stack } = this;
    switch (code) {
      case '\x80':
        this.take(1);
        return true;
      case '(':
        return this.push(mark);
      case '}':
        return this.push(new Map());
      case ']':
        return this.push([]);
      case ')':
        return this.push([]);
      case 'N':
        return this.push(null);
      case '\x88':
        return this.push(true);
      case '\x89':
        return this.push(false);
      case 'K':
        return this.push(this.take(1).readUInt8());
      case 'M':
        return this.push(this.take(2).readUInt16LE());
      case 'J':
        return this.push(this.take(4).readInt32LE());
      case '\x8a':
        return this.push(this.long());
      case 'G':
        return this.push(this.take(8).readDoubleBE());
      case 'X':
        return this.push(this.take(this.take(4).readUInt32LE()).toString('utf8'));
      case 'c':
        return this.push(this.global(`${this.line()} ${this.line()}`));
      case 'q':
        return this.keep(this.take(1).readUInt8());
      case 'r':
        return this.keep(this.take(4).readUInt32LE());
      case 'h':
        return this.push(this.memo.get(this.take(1).readUInt8()));
      case 'j':
        return this.push(this.memo.get(this.take(4).readUInt32LE()));
      case 't':
        return this.push(this.toMark());
      case '\x85':
      case '\x86':
      case '\x87':
        return this.push(stack.splice(-(code.charCodeAt(0) - 0x84)));
      case 'a':
        return this.append([this.pop()]);
      case 'e':
        return this.append(this.toMark());
      case 's':
        return this.setItems(stack.splice(-2));
      case 'u':
        return this.setItems(this.toMark());
      case 'Q':
        return this.push(this.storage(this.pop()));
      case 'R':
        return this.push(this.build(this.pop(), this.pop()));
      case 'b':
        // Attributes of a dictionary: a state dict's version of its modules.
        this.pop();
        return true;
    }
    return false;
  }

  private global(name: string): Global {
    if (builders.includes(name) || Object.hasOwn(storages, name)) return new Global(name);
    throw invalid(this.path, `its pickle names ${name.replace(' ', '.')}, which tensors do not need`);
  }

  /** ('storage', its class, its key, a device, the number of its elements). */
  private storage(id: unknown): Stored {
    const [kind, type, key] = Array.isArray(id) ? id : [];
    const dtype = type instanceof Global ? storages[type.name] : undefined;
    if (kind === 'storage' && dtype && typeof key === 'string') return { dtype, key };
    throw invalid(this.path, 'its pickle refers to something other than tensors');
  }

  private build(input: unknown, callee: unknown): unknown {
    const values = Array.isArray(input) ? input : [];
    const name = callee instanceof Global ? callee.name : '';
    if (name === builders[0] && values.length === 0) return new Map();
    if (name === builders[2] && values[0] instanceof Tensor) return values[0];
    const [stored, start, shape, strides] = values;
    if (name === builders[1] && isCount(start) && isShape(shape) && isShape(strides) && stored?.dtype)
      return new Tensor(stored, start, shape, strides);
    throw invalid(this.path, `its pickle builds a ${name || 'value'} in a way that tensors do not need`);
  }

  private setItems(items: unknown[]): true {
    const target = this.stack.at(-1);
    if (!(target instanceof Map)) throw invalid(this.path, 'its pickle fills what is no dictionary');
    for (let i = 0; i + 1 < items.length; i += 2) target.set(items[i], items[i + 1]);
    return true;
  }

  private append(items: unknown[]): true {
    const target = this.stack.at(-1);
    if (!Array.isArray(target)) throw invalid(this.path, 'its pickle fills what is no list');
    target.push(...items);
    return true;
  }

  private keep(index: number): true {
    this.memo.set(index, this.stack.at(-1));
    return true;
  }

  private push(value: unknown): true {
    this.stack.push(value);
    return true;
  }

  private pop(): unknown {
    if (this.stack.length === 0) throw invalid(this.path, 'its pickle takes more than it has');
    return this.stack.pop();
  }

  private toMark(): unknown[] {
    const items = this.stack.splice(this.stack.lastIndexOf(mark));
    if (items.shift() !== mark) throw invalid(this.path, 'its pickle takes more than it has');
    return items;
  }

  private long(): number {
    const bytes = this.take(this.take(1).readUInt8());
    return bytes.length === 0 || bytes.length > 6 ? Number.NaN : bytes.readIntLE(0, bytes.length);
  }

  private line(): string {
    const end = this.program.indexOf('\n', this.at);
    const text = this.take((end < 0 ? this.program.length : end) - this.at).toString('utf8');
    this.take(1);
    return text;
  }

  private take(length: number): Buffer {
    if (this.at + length > this.program.length) throw invalid(this.path, 'its pickle is cut short');
    this.at += length;
    return this.program.subarray(this.at - length, this.at);
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isShape(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

function invalid(path: string, what: string): RetouchError {
  return new EngineError('checkpointInvalid', `${path} is no checkpoint that is read here: ${what}`, {
    path,
  });
}
