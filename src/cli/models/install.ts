/** Puts a model or an adapter into the models directory: its folder appears whole, with its manifest, or not at all. */

import { constants, existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { RetouchError } from '../../error.ts';
import { readManifest } from '../../store/manifest.ts';
import { cliError } from '../flags/arguments.ts';
import type { Found } from './model-files.ts';

export type Identity = { air: string; name: string; license: string };

export type Installation = { folder: string; manifest: Record<string, unknown> };

/** A folder's name from an id: `civitai:12@3` is `civitai-12@3`. */
export function folderName(air: string): string {
  return air.replace(/[^\w.@-]+/g, '-').replace(/^\.+/, '');
}

/** The files of a manifest, with paths as the user gave them. */
export function makeManifest(found: Found, { air, name, license }: Identity, more: object = {}) {
  if (found.category !== 'checkpoint') {
    const { category, files } = found;
    const architecture = category === 'lora' || category === 'ip-adapter' ? { architecture: 'flux-dev' } : {};
    return { category, air, name, ...architecture, files, license, ...more };
  }
  const files = found.layout === 'diffusers' ? found.folder : found.files;
  const tiny = found.layout === 'split' && found.tinyAutoencoder;
  return {
    air,
    name,
    architecture: 'flux-kontext',
    files,
    ...(tiny ? { tinyAutoencoder: tiny } : {}),
    defaults: { steps: 28, guidance: 2.5 },
    license,
    ...more,
  };
}

/**
 * Writes the folder beside its place and moves it there last. `staged`: a folder beside it that already holds files.
 *
 * @throws RetouchError `modelInstalled`, and the errors of reading the finished manifest
 */
export async function install(
  models: string,
  manifest: Record<string, unknown>,
  staged?: string,
): Promise<Installation> {
  const name = folderName(String(manifest.air));
  const folder = join(models, name);
  if (existsSync(folder))
    throw new RetouchError(
      'modelInstalled',
      `${folder} exists already; 'retouch models remove ${manifest.air}' makes room.`,
    );
  const draft = staged ?? join(models, `.adding-${name}`);
  await mkdir(draft, { recursive: true });
  try {
    await writeFile(join(draft, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    await readManifest(draft);
    await rename(draft, folder);
  } catch (error) {
    await rm(staged === undefined ? draft : join(draft, 'manifest.json'), { recursive: true, force: true });
    throw error;
  }
  return { folder, manifest };
}

/** Copies the files into the draft of the model's folder, as reflinks where the file system can; returns their new names. */
export async function copyFiles(found: Found, draft: string): Promise<Found> {
  const copy = async (path: string, name: string) => {
    await cp(path, join(draft, name), {
      recursive: true,
      dereference: true,
      mode: constants.COPYFILE_FICLONE,
    });
    return name;
  };
  if (found.category === 'checkpoint' && found.layout === 'diffusers') {
    await copy(found.folder, '.');
    return { ...found, folder: '.' };
  }
  const names = new Map<string, string>();
  // An all-in-one file has several roles and is copied once.
  const copyOnce = async (role: string, path: string) => {
    const known = names.get(path);
    if (known !== undefined) return known;
    const name = await copy(path, `${role}${extname(basename(path))}`);
    names.set(path, name);
    return name;
  };
  const config = adapterConfig(found);
  if (config !== undefined && found.category === 'lora') {
    // PEFT's configuration is recognized by its file name.
    const weights = await copy(found.files.weights!, basename(found.files.weights!));
    await copy(config, basename(config));
    return { ...found, files: { weights } };
  }
  const files: Record<string, string> = {};
  for (const [role, path] of Object.entries(found.files)) files[role] = await copyOnce(role, path);
  if (found.category !== 'checkpoint') return { ...found, files };
  const tiny = found.tinyAutoencoder;
  return {
    ...found,
    files: files as typeof found.files,
    ...(tiny === undefined ? {} : { tinyAutoencoder: await copyOnce('tinyAutoencoder', tiny) }),
  };
}

/** The configuration file beside a LoRA saved by PEFT, which holds its scale. */
function adapterConfig(found: Found): string | undefined {
  if (found.category !== 'lora') return undefined;
  const weights = found.files.weights!;
  const config = join(dirname(weights), 'adapter_config.json');
  return /^adapter_model\.(safetensors|bin)$/.test(basename(weights)) && existsSync(config)
    ? config
    : undefined;
}

/** The licence named by a model's card or by its file's metadata. */
export function findLicense(found: Found): string | undefined {
  if (found.category !== 'checkpoint' || found.layout !== 'diffusers') return undefined;
  const card = join(found.folder, 'README.md');
  if (!existsSync(card)) return undefined;
  const front = /^---\n(.*?)\n---/s.exec(readFileSync(card, 'utf8'))?.[1] ?? '';
  const entry = (key: string) => new RegExp(`^${key}:\\s*["']?(.+?)["']?\\s*$`, 'm').exec(front)?.[1];
  return entry('license_name') ?? entry('license');
}

export function needLicense(): RetouchError {
  return cliError(
    'argumentMissing',
    "The files name no licence; say with --license under which one they are used, such as --license 'FLUX.1 [dev] Non-Commercial'.",
  );
}
