import { access, constants, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RetouchError } from '../error.ts';
import { knownModels } from './known-models.ts';
import {
  type AdapterCategory,
  type AdapterManifest,
  type Manifest,
  type ModelFiles,
  readManifest,
} from './manifest.ts';
import { type UnetIpAdapter, unetIpAdapters } from './unet-ip-adapters.ts';

export type Model = Manifest & {
  folder: string;
  /** The engine's view of the model. */
  source: { air: string; files: ModelFiles; tinyAutoencoder?: string; cacheFolder: string };
};

export type Adapter = AdapterManifest & { folder: string };

export type ModelFolders = {
  /** A directory with a folder per model, each with a manifest. */
  models: string;
  /** Folder for quantised weights when a model's own folder is read-only. */
  cache: string;
  /** Requested AIR → installed AIR. */
  aliases?: Readonly<Record<string, string>>;
  /** Folder of the model in the package; its adapters are folders of `adapters`. */
  embedded?: string;
};

/** The reason why an adapter cannot be used: it is not installed, or of another architecture. */
export type AdapterFault = { fault: 'missing' | 'unsuitable'; message: string };

const words = {
  lora: {
    name: 'LoRA',
    add: "'retouch models add' installs one from its file: docs/guide/lora.md.",
  },
  'ip-adapter': {
    name: 'IP-Adapter',
    add: "'retouch models add' installs one from its files: docs/guide/ip-adapters.md.",
  },
  'face-detector': {
    name: 'face detector',
    add: "'retouch models add --category face-detector' installs one.",
  },
  'safety-classifier': {
    name: 'safety classifier',
    add: "'retouch models add --category safety-classifier' installs one.",
  },
} as const satisfies Record<AdapterCategory, { name: string; add: string }>;

/** Architecture of a model → others whose adapters fit it: Kontext was made from FLUX.1 [dev], layer by layer. */
const adaptersOf: Readonly<Record<string, readonly string[]>> = { 'flux-kontext': ['flux-dev'] };

const embeddedFolder = fileURLToPath(new URL('../../model', import.meta.url));

/** Tools of the package that analyse finished images; an operator's own tool replaces one. */
const bundled = {
  'face-detector': { air: 'retouch:face@1', folder: join(embeddedFolder, 'detectors', 'face') },
  'safety-classifier': { air: 'retouch:nsfw@1', folder: join(embeddedFolder, 'classifiers', 'nsfw') },
} as const satisfies Partial<Record<AdapterCategory, { air: string; folder: string }>>;

export type ToolCategory = keyof typeof bundled;

/** AIR → model, as found at the start. */
export class ModelStore {
  readonly models: readonly Model[];
  readonly adapters: readonly Adapter[];
  /** Warnings about folders and aliases that cannot be used. */
  readonly problems: readonly string[];
  readonly #aliases: ReadonlyMap<string, string>;

  private constructor(
    models: Model[],
    adapters: Adapter[],
    problems: string[],
    aliases: ReadonlyMap<string, string>,
  ) {
    this.models = models;
    this.adapters = adapters;
    this.problems = problems;
    this.#aliases = aliases;
  }

  static async scan(folders: ModelFolders): Promise<ModelStore> {
    const problems: string[] = [];
    const models = new Map<string, Model>();
    const adapters = new Map<string, Adapter>();
    const embedded = folders.embedded ?? embeddedFolder;
    const found = [
      embedded,
      ...Object.values(bundled).map(({ folder }) => folder),
      ...(await modelFolders(join(embedded, 'adapters'))),
      ...(await modelFolders(folders.models)),
    ];
    for (const folder of found) {
      try {
        const manifest = await readManifest(folder);
        const { air } = manifest;
        const other = models.get(air) ?? adapters.get(air);
        if (other) problems.push(`${folder}: ${air} is already installed in ${other.folder}.`);
        else if (manifest.category !== 'checkpoint') adapters.set(air, { ...manifest, folder });
        else models.set(air, await openModel(manifest, folder, folders.cache));
      } catch (error) {
        if (!(error instanceof RetouchError)) throw error;
        problems.push(error.message);
      }
    }
    const aliases = new Map(Object.entries(folders.aliases ?? {}));
    for (const [alias, air] of aliases) {
      if (!models.has(air) && !adapters.has(air))
        problems.push(`The alias ${alias} stands for ${air}, which is not installed.`);
    }
    const store = new ModelStore([...models.values()], [...adapters.values()], problems, aliases);
    for (const category of Object.keys(bundled) as ToolCategory[]) {
      const [first, ...more] = store.#installedTools(category);
      if (more.length === 0 || aliases.has(bundled[category].air)) continue;
      const names = [first!, ...more].map(({ air }) => air).join(', ');
      problems.push(
        `More than one ${category} is installed (${names}): ${first!.air} is used; --alias ${bundled[category].air}=<air> chooses.`,
      );
    }
    return store;
  }

  find(air: string): Model | undefined {
    const wanted = this.#aliases.get(air) ?? air;
    return this.models.find((model) => model.air === wanted);
  }

  findAdapter(category: AdapterCategory, air: string): Adapter | undefined {
    const wanted = this.#aliases.get(air) ?? air;
    return this.adapters.find((adapter) => adapter.category === category && adapter.air === wanted);
  }

  /** The reason why an adapter cannot be used with an installed model; undefined when it can. */
  explainAdapter(category: AdapterCategory, air: string, model: string): AdapterFault | undefined {
    const adapter = this.findAdapter(category, air);
    const { name } = words[category];
    if (!adapter) {
      const asked = air.length > 60 ? `${air.slice(0, 60)}…` : air;
      const installed = this.adapters.filter((other) => other.category === category);
      const list = installed.map((other) => `${other.air} (${other.name})`).join(', ') || 'none';
      const unet = category === 'ip-adapter' ? unetIpAdapters[air] : undefined;
      if (unet) return { fault: 'unsuitable', message: explainUnet(air, unet, list) };
      const message = `The ${name} '${asked}' is not installed. Installed: ${list}. ${words[category].add}`;
      return { fault: 'missing', message };
    }
    const architecture = this.find(model)?.architecture;
    if (architecture === undefined || adapter.architecture === undefined) return undefined;
    if ([architecture, ...(adaptersOf[architecture] ?? [])].includes(adapter.architecture)) return undefined;
    const message = `The ${name} '${air}' is made for ${adapter.architecture}; the model ${model} is ${architecture}.`;
    return { fault: 'unsuitable', message };
  }

  /** The detector or classifier in use: the alias of the bundled one's id, or the operator's own, or the bundled one. */
  findTool(category: ToolCategory): Adapter {
    const { air, folder } = bundled[category];
    const chosen = this.#aliases.has(air) ? undefined : this.#installedTools(category)[0];
    const tool = chosen ?? this.findAdapter(category, air);
    if (tool) return tool;
    const missing = this.#aliases.get(air) ?? folder;
    throw new RetouchError(
      'manifestInvalid',
      `There is no ${category} ${missing}: its manifest cannot be read.`,
    );
  }

  #installedTools(category: ToolCategory): Adapter[] {
    const { folder } = bundled[category];
    return this.adapters.filter((adapter) => adapter.category === category && adapter.folder !== folder);
  }

  /** The error message for a model that `find` does not have. */
  explainMissing(air: string): string {
    const asked = air.length > 60 ? `${air.slice(0, 60)}…` : air;
    const alias = this.#aliases.get(air);
    const what = alias === undefined ? `'${asked}'` : `'${asked}', an alias of '${alias}',`;
    const installed = this.models.map((model) => `${model.air} (${model.name})`).join(', ') || 'none';
    const message = `The model ${what} is not installed. Installed: ${installed}.`;
    const [first] = this.models;
    const known = Object.hasOwn(knownModels, air) ? knownModels[air] : undefined;
    if (alias !== undefined || !known || !first) return message;
    return (
      `${message} 'retouch pull ${air}' installs ${known.name} (${known.license}); ` +
      `'retouch serve --alias ${air}=${first.air}' answers for it with ${first.name}.`
    );
  }
}

function explainUnet(air: string, { name, base }: UnetIpAdapter, installed: string): string {
  return (
    `${air} is the ${name}, which adds to the cross-attentions of ${base}'s UNet; FLUX has none. ` +
    `An IP-Adapter for FLUX answers for it when its manifest.json has "air": "${air}", or with ` +
    `'retouch serve --alias ${air}=<its AIR>': docs/guide/ip-adapters.md. Installed: ${installed}.`
  );
}

async function modelFolders(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const folders = entries.filter((entry) => entry.isDirectory() || entry.isSymbolicLink());
  return folders
    .map((entry) => entry.name)
    .filter((name) => !name.startsWith('.'))
    .sort()
    .map((name) => join(folder, name));
}

async function openModel(manifest: Manifest, folder: string, cache: string): Promise<Model> {
  const { air, files, tinyAutoencoder } = manifest;
  const cacheFolder = await chooseCache(folder, air, cache);
  const tiny = tinyAutoencoder === undefined ? {} : { tinyAutoencoder };
  return { ...manifest, folder, source: { air, files, ...tiny, cacheFolder } };
}

async function chooseCache(folder: string, air: string, cache: string): Promise<string> {
  const own = join(folder, '.retouch');
  try {
    await mkdir(own, { recursive: true });
    await access(own, constants.W_OK);
    return own;
  } catch {
    return join(cache, air.replace(/[^\w.@-]+/g, '-'));
  }
}

/** The files and folders of a model. */
export function pathsOf(model: Model | Adapter): string[] {
  if (model.category !== 'checkpoint') return Object.values(model.files);
  const { files, tinyAutoencoder } = model;
  const own = files.layout === 'diffusers' ? [files.folder] : Object.values({ ...files, layout: undefined });
  return [...own, tinyAutoencoder].filter((path) => path !== undefined);
}
