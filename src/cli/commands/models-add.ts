/** `retouch models add`: installs a model from local files. */

import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { RetouchError } from '../../error.ts';
import type { Manifest } from '../../store/manifest.ts';
import type { Model, ModelStore } from '../../store/models.ts';
import { cliError } from '../flags/arguments.ts';
import {
  copyFiles,
  findLicense,
  folderName,
  type Installation,
  install,
  makeManifest,
  needLicense,
} from '../models/install.ts';
import { type Found, findFiles } from '../models/model-files.ts';

export type AddOptions = {
  air?: string;
  name?: string;
  license?: string;
  base?: string;
  category?: string;
  architecture?: string;
  copy?: boolean;
};

export async function add(
  paths: readonly string[],
  options: AddOptions,
  { store, modelsDir }: { store: ModelStore; modelsDir: string },
): Promise<Installation> {
  if (paths.length === 0)
    throw cliError('argumentMissing', 'models add needs the folder or the files of a model or adapter.');
  const found = await findFiles(paths, {
    ...(options.category === undefined ? {} : { category: options.category }),
    ...(options.base === undefined ? {} : { base: baseOf(store, options.base) }),
  });
  const name = options.name ?? nameOf(mainPath(paths, found));
  const air = options.air ?? `local:${slug(name)}@1`;
  const license = options.license ?? findLicense(found);
  if (license === undefined) throw needLicense();
  checkFree(store, air);
  await checkOpens(found, air);
  const { architecture } = options;
  const more = architecture === undefined ? {} : { architecture };
  if (!options.copy) return install(modelsDir, makeManifest(found, { air, name, license }, more));
  const draft = join(modelsDir, `.adding-${folderName(air)}`);
  try {
    const copied = await copyFiles(found, draft);
    return await install(modelsDir, makeManifest(copied, { air, name, license }, more), draft);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

export function baseOf(store: ModelStore, air: string): Model {
  const base = store.find(air);
  if (base) return base;
  throw cliError('flagInvalid', `--base is '${air}', which is not installed. ${store.explainMissing(air)}`);
}

/** Throws `modelInstalled`. */
export function checkFree(store: ModelStore, air: string): void {
  const other = store.find(air) ?? store.adapters.find((adapter) => adapter.air === air);
  if (!other) return;
  throw new RetouchError(
    'modelInstalled',
    `${air} is installed already, in ${other.folder}; give another id with --air, or remove it first with 'retouch models remove ${air}'.`,
  );
}

/** Reads headers and configurations as the engine does, and refuses files that do not fit together. */
export async function checkOpens(found: Found, air: string): Promise<void> {
  if (found.category !== 'checkpoint') return;
  const { openComponents } = await import('../../engine/networks/components.ts');
  const { checkComputable } = await import('../../engine/networks/check.ts');
  const files: Manifest['files'] =
    found.layout === 'diffusers'
      ? { layout: 'diffusers', folder: found.folder }
      : { layout: 'split', ...found.files };
  const tiny = found.layout === 'split' ? found.tinyAutoencoder : undefined;
  const components = await openComponents({
    air,
    files,
    ...(tiny === undefined ? {} : { tinyAutoencoder: tiny }),
    cacheFolder: '',
  });
  checkComputable(components);
}

/** A checkpoint given as several files is named after its transformer, whichever file comes first. */
function mainPath(paths: readonly string[], found: Found): string {
  const isSplit = found.category === 'checkpoint' && found.layout === 'split';
  return isSplit && paths.length > 1 ? found.files.transformer : paths[0]!;
}

function nameOf(path: string): string {
  return basename(path).replace(/\.(safetensors|gguf|onnx)$/, '');
}

function slug(name: string): string {
  return (
    name
      .toLowerCase()
      .replace(/[^\w.-]+/g, '-')
      .replace(/^[-.]+|-+$/g, '') || 'model'
  );
}
