/**
 * The tensors of one network, wherever they are stored: one file, or a folder with a sharded index.
 */
import fs from 'node:fs';
import path from 'node:path';
import { EngineError } from '../errors.ts';
import { isGguf, openGguf } from './gguf.ts';
import { openSafetensors } from './safetensors.ts';
import { withScales } from './scales.ts';
import { refuseShard, weightFiles } from './shards.ts';
import type { TensorEntry, TensorFile } from './stored.ts';
import { isTorchPickle, openTorchPickle } from './torch-pickle.ts';
import { refuseUnreadable } from './unreadable.ts';

export class Checkpoint {
  /** The requested file or folder, for messages. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  /** The component's config.json, when it has one. */
  readonly config: Readonly<Record<string, unknown>>;

  constructor(path: string, tensors: ReadonlyMap<string, TensorEntry>, metadata = {}, config = {}) {
    this.path = path;
    this.tensors = tensors;
    this.metadata = metadata;
    this.config = config;
  }

  get files(): string[] {
    return [...new Set([...this.tensors.values()].map((entry) => entry.file))];
  }

  get bytes(): number {
    return [...this.tensors.values()].reduce((sum, entry) => sum + entry.length, 0);
  }
}

/**
 * Opens a `.safetensors` or `.gguf` file, what torch.save wrote, or a folder of a diffusers pipeline: config.json
 * beside `*.safetensors` or beside `*.safetensors.index.json` with its shards. The format is detected from a file's
 * first bytes, not from its name.
 */
export function openCheckpoint(where: string): Checkpoint {
  if (!fs.existsSync(where))
    throw new EngineError('modelFileMissing', `no file or folder ${where}`, { path: where });
  if (!fs.statSync(where).isDirectory()) {
    refuseShard(where);
    return assemble(where, [openTensors(where)]);
  }
  const names = fs.readdirSync(where).sort();
  const config = names.includes('config.json') ? readJson(path.join(where, 'config.json')) : {};
  const parts = weightFiles(where, names).map((name) => openTensors(path.join(where, name)));
  return assemble(where, parts, config);
}

/** @throws RetouchError `dtypeUnsupported` for formats that are not read */
function assemble(where: string, parts: readonly TensorFile[], config = {}): Checkpoint {
  const tensors = new Map(parts.flatMap((part) => [...part.tensors]));
  refuseUnreadable(where, tensors);
  const metadata = Object.assign({}, ...parts.map((part) => part.metadata));
  return new Checkpoint(where, withScales(where, tensors), metadata, config);
}

export function openTensors(path: string): TensorFile {
  if (isGguf(path)) return openGguf(path);
  return isTorchPickle(path) ? openTorchPickle(path) : openSafetensors(path);
}

/** Some editors write a byte order mark, which JSON does not allow. */
function parseJson(text: string): Record<string, unknown> {
  return JSON.parse(text.replace(/^\uFEFF/, ''));
}

export function readJson(file: string): Record<string, unknown> {
  try {
    return parseJson(fs.readFileSync(file, 'utf8'));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EngineError('modelConfigInvalid', `cannot read ${file}: ${reason}`, { path: file }, { cause });
  }
}
