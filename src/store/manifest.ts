/** `manifest.json` in a model's folder: the model's id, files, defaults and limits. */

import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { RetouchError } from '../error.ts';

/** The files in the engine's form (`ModelSource`): a diffusers folder, or single files by component. */
export type ModelFiles =
  | { layout: 'diffusers'; folder: string }
  | ({ layout: 'split' } & Record<(typeof components)[number], string>);

/** Categories of models that a task names besides its checkpoint. */
export const adapterCategories = ['lora', 'ip-adapter', 'face-detector', 'safety-classifier'] as const;
export type AdapterCategory = (typeof adapterCategories)[number];

/** Fields for modelSearch. */
type About = { version: string | undefined; tags: string[]; comment: string };

/** A prompt that shows what a model does, and the picture that it edits; text-to-image without one. */
type Example = { prompt: string; image: string | undefined };

export type AdapterManifest = {
  category: AdapterCategory;
  air: string;
  name: string;
  /** Architecture of the checkpoints that it adapts; absent for tools that analyse finished images. */
  architecture: string | undefined;
  /** Absolute paths by role; a manifest that names one file names its `weights`. */
  files: Readonly<Record<string, string>>;
  /** Settings of the adapter, passed to the engine unchanged. */
  settings: Readonly<Record<string, unknown>>;
  about: About;
  license: string;
};

/** Price of one image. Per image it is that of an image of the size and steps of `of`. */
export type Price =
  | { perImage: number; of: { width: number; height: number; steps: number } }
  | { perSecond: number };

export type GuidanceRange = { min: number; max: number };

export type Manifest = {
  category: 'checkpoint';
  air: string;
  name: string;
  architecture: string;
  files: ModelFiles;
  /** A TAESD for the model's latents, which decodes previews. */
  tinyAutoencoder: string | undefined;
  defaults: { steps: number; guidance: number };
  /** Range of guidance; outside the range of its training a model draws noise. Absent: every value of the wire. */
  guidance: GuidanceRange | undefined;
  /** Sizes that the model supports. Absent: every size of the wire. */
  sizes: [width: number, height: number][] | undefined;
  price: Price | undefined;
  examples: Example[];
  /** Whether the model edits photographs, or only pictures like those of its training. */
  photographs: boolean;
  about: About;
  license: string;
};

const networks = ['transformer', 'autoencoder', 'clip', 't5'] as const;
const components = [...networks, 'tokenizer', 'tokenizer2'] as const;

/** Throws `manifestInvalid`. A manifest without a category is a checkpoint's. */
export async function readManifest(folder: string): Promise<Manifest | AdapterManifest> {
  const path = join(folder, 'manifest.json');
  const refuse = (found: string): never => {
    throw new RetouchError('manifestInvalid', `${path}: ${found}.`);
  };
  const text = await readFile(path, 'utf8').catch((error) => refuse(`it cannot be read (${error.code})`));
  const value = parse(text) ?? refuse('it is not a JSON object');
  const string = (key: string): string => {
    const found = value[key];
    if (typeof found === 'string' && found !== '') return found;
    return refuse(`'${key}' is ${JSON.stringify(found)}, expected a string`);
  };
  const number = (key: string, found: unknown): number => {
    if (typeof found === 'number' && Number.isFinite(found)) return found;
    return refuse(`'${key}' is ${JSON.stringify(found)}, expected a number`);
  };
  const category = value.category ?? 'checkpoint';
  if (category !== 'checkpoint') {
    const known = adapterCategories.find((name) => name === category);
    if (!known) {
      const expected = ['checkpoint', ...adapterCategories].join(', ');
      return refuse(`'category' is ${JSON.stringify(category)}, expected one of ${expected}`);
    }
    return {
      category: known,
      air: string('air'),
      name: string('name'),
      architecture: value.architecture === undefined ? undefined : string('architecture'),
      files: readRoles(known, value.files, folder) ?? refuse(`'files' must be ${expectedRoles(known)}`),
      settings: asObject(value.settings) ?? {},
      about: readAbout(value) ?? refuse(aboutExpected),
      license: string('license'),
    };
  }
  const defaults = asObject(value.defaults) ?? refuse("'defaults' is missing, expected steps and guidance");
  return {
    category,
    air: string('air'),
    name: string('name'),
    architecture: string('architecture'),
    files:
      readFiles(value.files, folder) ??
      refuse(
        `'files' must be a folder or paths of ${components.join(', ')} (checkpoint stands for those of one file)`,
      ),
    tinyAutoencoder:
      value.tinyAutoencoder === undefined ? undefined : resolve(folder, string('tinyAutoencoder')),
    defaults: {
      steps: number('defaults.steps', defaults.steps),
      guidance: number('defaults.guidance', defaults.guidance),
    },
    sizes:
      value.sizes === undefined
        ? undefined
        : (readSizes(value.sizes) ?? refuse("'sizes' must be pairs of integers")),
    guidance:
      value.guidance === undefined
        ? undefined
        : (readGuidance(value.guidance) ?? refuse("'guidance' must be { max } or { min, max }, in numbers")),
    price:
      value.price === undefined
        ? undefined
        : (readPrice(value.price, defaults.steps as number) ?? refuse(priceExpected)),
    examples: readExamples(value.examples, folder) ?? refuse(examplesExpected),
    photographs: value.photographs !== false,
    about: readAbout(value) ?? refuse(aboutExpected),
    license: string('license'),
  };
}

/**
 * Paths are relative to the model's folder; absolute ones let several programs share one copy of the weights. An
 * all-in-one file is named as `checkpoint` and provides every network that has no separate file.
 */
function readFiles(value: unknown, folder: string): ModelFiles | undefined {
  if (typeof value === 'string') return { layout: 'diffusers', folder: resolve(folder, value) };
  const { checkpoint, ...named } = asObject(value) ?? {};
  const all = typeof checkpoint === 'string' ? networks.map((name) => [name, checkpoint]) : [];
  const files = { ...Object.fromEntries(all), ...named };
  if (!components.every((name) => typeof files[name] === 'string')) return undefined;
  const paths = components.map((name) => [name, resolve(folder, files[name] as string)]);
  return { layout: 'split', ...(Object.fromEntries(paths) as Record<(typeof components)[number], string>) };
}

/** Roles of an adapter's two files. */
const roles: Partial<Record<AdapterCategory, readonly string[]>> = {
  'ip-adapter': ['adapter', 'imageEncoder'],
};

function readRoles(
  category: AdapterCategory,
  value: unknown,
  folder: string,
): Record<string, string> | undefined {
  const paths = readPaths(value, folder);
  return paths && roles[category]?.every((role) => role in paths) === false ? undefined : paths;
}

function expectedRoles(category: AdapterCategory): string {
  const needed = roles[category];
  return needed ? `paths of ${needed.join(' and ')}` : 'a path, or paths by role';
}

function readPaths(value: unknown, folder: string): Record<string, string> | undefined {
  if (typeof value === 'string') return { weights: resolve(folder, value) };
  const entries = Object.entries(asObject(value) ?? {});
  if (entries.length === 0 || !entries.every(([, path]) => typeof path === 'string')) return undefined;
  return Object.fromEntries(entries.map(([role, path]) => [role, resolve(folder, path as string)]));
}

const aboutExpected = "'version' and 'comment' must be strings and 'tags' a list of strings";

function readAbout({ version, tags = [], comment = '' }: Record<string, unknown>): About | undefined {
  const isText = (text: unknown): text is string => typeof text === 'string';
  if (version !== undefined && !isText(version)) return undefined;
  return isText(comment) && Array.isArray(tags) && tags.every(isText)
    ? { version, tags, comment }
    : undefined;
}

const priceExpected =
  "'price' must be { perImage } with width, height and steps of the picture it is for, or { perSecond }; none below 0";

/** The reference picture of a price: by default 1024 × 1024 in the model's default steps. */
function readPrice(value: unknown, defaultSteps: number): Price | undefined {
  const {
    perImage,
    perSecond,
    width = 1024,
    height = 1024,
    steps = defaultSteps,
    ...rest
  } = asObject(value) ?? {};
  const isAmount = (amount: unknown): amount is number => Number.isFinite(amount) && (amount as number) >= 0;
  const isCount = (count: unknown): count is number => Number.isSafeInteger(count) && (count as number) > 0;
  if (Object.keys(rest).length > 0) return undefined;
  if (perImage === undefined) return isAmount(perSecond) ? { perSecond } : undefined;
  if (perSecond !== undefined || !isAmount(perImage)) return undefined;
  return [width, height, steps].every(isCount)
    ? { perImage, of: { width, height, steps } as { width: number; height: number; steps: number } }
    : undefined;
}

const examplesExpected = "'examples' must be a list of { prompt, image }, where image is a path or absent";

function readExamples(value: unknown = [], folder: string): Example[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const examples = value.map((each) => {
    const { prompt, image, ...rest } = asObject(each) ?? {};
    if (typeof prompt !== 'string' || prompt === '' || Object.keys(rest).length > 0) return undefined;
    if (image === undefined) return { prompt, image };
    return typeof image === 'string' ? { prompt, image: resolve(folder, image) } : undefined;
  });
  return examples.every((example) => example !== undefined) ? examples : undefined;
}

function readGuidance(value: unknown): GuidanceRange | undefined {
  const { min = 0, max, ...rest } = asObject(value) ?? {};
  const valid = Number.isFinite(min) && Number.isFinite(max) && Object.keys(rest).length === 0;
  return valid && (min as number) <= (max as number) ? { min: min as number, max: max as number } : undefined;
}

function readSizes(value: unknown): [number, number][] | undefined {
  const isPair = (size: unknown) =>
    Array.isArray(size) && size.length === 2 && size.every(Number.isSafeInteger);
  return Array.isArray(value) && value.length > 0 && value.every(isPair) ? value : undefined;
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}
