/** Identifies the files of a model or an adapter by their content, from the paths that a user names. */

import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { identify, type WeightKind } from '../../engine/adapters/identify.ts';
import { modelPaths } from '../../engine/networks/model-paths.ts';
import { RetouchError } from '../../error.ts';
import { type AdapterCategory, adapterCategories } from '../../store/manifest.ts';
import type { Model } from '../../store/models.ts';
import { cliError } from '../flags/arguments.ts';

/** The files of a checkpoint, by role. */
const roles = ['transformer', 'autoencoder', 'clip', 't5', 'tokenizer', 'tokenizer2'] as const;
type Role = (typeof roles)[number];
type ModelPart = WeightKind | Role;

export type Found =
  | { category: 'checkpoint'; layout: 'diffusers'; folder: string }
  | { category: 'checkpoint'; layout: 'split'; files: Record<Role, string>; tinyAutoencoder?: string }
  | { category: AdapterCategory; files: Record<string, string> };

export type FindOptions = {
  /** The files' role, where the tensors' names do not identify it. */
  category?: string;
  /** An installed model that supplies the missing files. */
  base?: Model;
};

/** Throws `modelFilesUnknown`, `modelFilesMissing` and the errors of damaged checkpoints. */
export async function findFiles(
  paths: readonly string[],
  { category, base }: FindOptions = {},
): Promise<Found> {
  const whole = paths.find((path) => existsSync(join(path, 'model_index.json')));
  if (whole !== undefined && paths.length === 1)
    return { category: 'checkpoint', layout: 'diffusers', folder: resolve(whole) };
  const known = adapterCategories.find((name) => name === category);
  if (category !== undefined && category !== 'checkpoint' && !known) {
    const expected = ['checkpoint', ...adapterCategories].join(', ');
    throw cliError('flagInvalid', `--category is '${category}'; expected one of ${expected}.`);
  }
  if (known === 'face-detector' || known === 'safety-classifier')
    return { category: known, files: { weights: only(paths) } };
  const parts = await sort(paths.flatMap(expand));
  const adapter = known ?? (['lora', 'ip-adapter'] as const).find((kind) => parts.has(kind));
  if (!adapter) return checkpoint(parts, base);
  refuseMixture(adapter, parts);
  const weights = parts.get(adapter);
  if (weights === undefined) {
    const found = [...parts.keys()].join(', ') || 'nothing known';
    throw cliError('modelFilesUnknown', `--category is ${adapter}, but ${paths.join(', ')} holds ${found}.`);
  }
  if (adapter === 'lora') return { category: adapter, files: { weights } };
  const imageEncoder = parts.get('image-encoder');
  if (imageEncoder === undefined)
    throw cliError(
      'modelFilesMissing',
      `${weights} is an IP-Adapter, which needs an image encoder; name the folder of the one it was trained with too (CLIP or SigLIP, with its config.json).`,
    );
  return { category: adapter, files: { adapter: weights, imageEncoder } };
}

/** Adapters are installed alone, since other named files would be ignored. */
function refuseMixture(adapter: AdapterCategory, parts: ReadonlyMap<ModelPart, string>): void {
  const own: readonly ModelPart[] = adapter === 'ip-adapter' ? ['ip-adapter', 'image-encoder'] : ['lora'];
  const others = [...parts].filter(([part]) => !own.includes(part));
  if (others.length === 0 || !parts.has(own[0]!)) return;
  const list = others.map(([part, path]) => `${basename(path)} (${part})`).join(', ');
  throw cliError(
    'modelFilesUnknown',
    `${parts.get(own[0]!)} is ${adapter === 'lora' ? 'a LoRA' : 'an IP-Adapter'}, and it was named with ${list}: a model and an adapter are added one after the other.`,
  );
}

function only(paths: readonly string[]): string {
  const [path] = paths;
  if (path === undefined || paths.length > 1)
    throw cliError('argumentUnexpected', `One path was expected; found ${paths.length}.`);
  return resolve(existing(path));
}

function existing(path: string): string {
  if (existsSync(path)) return path;
  throw new RetouchError('modelFileMissing', `no file or folder ${path}`, { path });
}

/** Expands a folder into its files and component folders. */
function expand(path: string): string[] {
  if (!statSync(existing(path)).isDirectory() || isComponent(path)) return [resolve(path)];
  const inside = readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() || /\.(safetensors|gguf)$/.test(entry.name))
    .filter(({ name }) => !name.startsWith('.'))
    .map(({ name }) => join(path, name))
    .filter((inner) => !statSync(inner).isDirectory() || isComponent(inner));
  if (inside.length > 0) return inside.map((inner) => resolve(inner)).sort();
  if (existsSync(join(path, 'spiece.model')))
    throw cliError(
      'modelFilesUnknown',
      `${path} has a tokenizer as spiece.model alone; tokenizer.json is read. The model's repository has it in tokenizer_2.`,
    );
  throw cliError(
    'modelFilesUnknown',
    `${path} holds no .safetensors or .gguf file, no model_index.json and no tokenizer.`,
  );
}

/** A network's folder in diffusers' layout, or a tokenizer's. */
function isComponent(folder: string): boolean {
  return readdirSync(folder).some(
    (name) => ['config.json', 'tokenizer.json', 'vocab.json'].includes(name) || name.endsWith('.index.json'),
  );
}

async function sort(paths: readonly string[]): Promise<Map<ModelPart, string>> {
  const { openCheckpoint, readJson } = await import('../../engine/weights/checkpoint.ts');
  const { refuseUnreadableTypes } = await import('../../engine/weights/unreadable.ts');
  const found = new Map<ModelPart, string>();
  for (const path of paths) {
    const tokenizer = tokenizerKind(path, readJson);
    const checkpoint = tokenizer ? undefined : openCheckpoint(path);
    const kinds: ModelPart[] = tokenizer ? [tokenizer] : identify(checkpoint!);
    if (checkpoint) refuseUnreadableTypes(path, checkpoint.tensors);
    if (kinds.length === 0) {
      const names = [...checkpoint!.tensors.keys()].slice(0, 3);
      throw cliError(
        'modelFilesUnknown',
        names.length === 0
          ? `${path} has no tensors; expected those of a network, a LoRA or an IP-Adapter.`
          : `${path} has ${checkpoint!.tensors.size} tensors (${names.join(', ')}, …) of no network, LoRA or IP-Adapter known here.`,
      );
    }
    for (const kind of kinds) {
      const other = found.get(kind);
      if (other !== undefined)
        throw cliError('modelFilesUnknown', `${other} and ${path} are both a ${kind}; name the one to use.`);
      found.set(kind, path);
    }
  }
  return found;
}

function tokenizerKind(
  path: string,
  readJson: (file: string) => Record<string, unknown>,
): 'tokenizer' | 'tokenizer2' | undefined {
  if (!statSync(path).isDirectory()) return undefined;
  const names = readdirSync(path);
  if (!names.includes('tokenizer.json') && !names.includes('vocab.json')) return undefined;
  const config = join(path, 'tokenizer_config.json');
  const named = existsSync(config) ? String(readJson(config).tokenizer_class) : '';
  if (/^T5/i.test(named)) return 'tokenizer2';
  return /^CLIP/i.test(named) || names.includes('merges.txt') ? 'tokenizer' : 'tokenizer2';
}

function checkpoint(parts: ReadonlyMap<ModelPart, string>, base: Model | undefined): Found {
  const given = base ? modelPaths(base.source.files) : undefined;
  const files: Partial<Record<Role, string>> = {};
  for (const role of roles) {
    const path = parts.get(role) ?? given?.[role];
    if (path !== undefined) files[role] = path;
  }
  const missing = roles.filter((role) => files[role] === undefined);
  if (missing.length > 0) {
    const found = [...parts].map(([part, path]) => `${part} (${basename(path)})`).join(', ') || 'none';
    throw cliError(
      'modelFilesMissing',
      `A model needs ${roles.join(', ')}; found ${found}, missing ${missing.join(', ')}. Name their files or folders too, or an installed model that has them with --base AIR.`,
    );
  }
  const tiny = parts.get('tinyAutoencoder');
  return {
    category: 'checkpoint',
    layout: 'split',
    files: files as Record<Role, string>,
    ...(tiny === undefined ? {} : { tinyAutoencoder: tiny }),
  };
}
