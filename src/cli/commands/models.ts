/** `retouch models`: lists, adds and removes models. */

import { join } from 'node:path';
import { formatBytes } from '../../bytes.ts';
import type { Config } from '../../config.ts';
import { ModelStore } from '../../store/models.ts';
import type { Command } from '../command.ts';
import { cliError, parseArguments, type Values } from '../flags/arguments.ts';
import { configFrom, settingFlags } from '../flags/settings.ts';
import { ask, canAsk } from '../terminal/ask.ts';
import { describeInstalled, formatTable } from '../terminal/models-table.ts';
import { add } from './models-add.ts';
import { prepare } from './models-prepare.ts';
import { removalOf, remove } from './models-remove.ts';

export const modelFlags = {
  air: { about: 'Id of the model in tasks; derived from the name by default.', value: 'AIR' },
  name: { about: 'Name for people; the file or folder name by default.', value: 'TEXT' },
  license: { about: 'Licence of the files; by default that of the model card.', value: 'TEXT' },
  base: {
    about: 'Installed model whose networks and tokenizers complete the files.',
    value: 'AIR',
  },
  category: {
    about:
      'Category of the files, if it cannot be detected: lora, ip-adapter, face-detector or safety-classifier.',
    value: 'NAME',
  },
  architecture: {
    about:
      'Architecture of the model, or of the models that an adapter fits; flux-kontext and flux-dev by default.',
    value: 'NAME',
  },
} as const;

const flags = {
  ...modelFlags,
  copy: { about: 'Copy the files into the models directory; by default they stay where they are.' },
  yes: { about: 'Remove without asking.', short: 'y' },
  json: { about: 'Print JSON.' },
} as const;

const directories = settingFlags(['data-dir', 'models-dir', 'device', 'precision']) as Record<string, never>;
const allFlags = { ...flags, ...directories };

export type ModelsValues = Values<typeof flags>;

export const models: Command = {
  summary: 'List, add and remove models, LoRAs and other adapters.',
  usage: [
    'models [list] [--json]',
    'models add PATH… [flags]',
    'models prepare AIR [--precision NAME]',
    'models remove AIR [--yes]',
  ],
  details: [
    'add takes a diffusers folder, single files by component (BFL, ComfyUI, GGUF, all-in-one), a LoRA or an IP-Adapter, ' +
      'and finds out what each is from its tensors.',
    "prepare converts a model's weights to a precision, so that the first image does not wait for it, and says what disk " +
      'each precision takes. What an interrupted conversion finished is kept.',
  ],
  flags: allFlags,
  async run(words) {
    const { values, positionals } = parseArguments(words, allFlags);
    const [verb = 'list', ...rest] = positionals;
    const config = configFrom(values);
    const store = await scan(config);
    if (verb === 'list') return list(store, rest, values.json === true);
    if (verb === 'add') {
      const { folder, manifest } = await add(rest, values, { store, modelsDir: config.modelsDir });
      if (values.json) console.log(JSON.stringify({ ...manifest, folder }, null, 2));
      else console.log(`${manifest.air} (${manifest.name}) is installed in ${folder}.`);
      return 0;
    }
    if (verb === 'prepare') return prepare(rest, values, { store, config });
    if (verb === 'remove') return removeModel(store, rest, values, config);
    throw cliError('argumentUnexpected', `models has no '${verb}'; there are list, add, prepare and remove.`);
  },
};

export function scan({ modelsDir, dataDir, alias }: Config): Promise<ModelStore> {
  return ModelStore.scan({ models: modelsDir, cache: join(dataDir, 'cache'), aliases: alias });
}

async function list(store: ModelStore, rest: readonly string[], json: boolean): Promise<number> {
  if (rest.length > 0) throw cliError('argumentUnexpected', `models list takes no name; found '${rest[0]}'.`);
  const rows = await describeInstalled(store);
  if (json) console.log(JSON.stringify(rows, null, 2));
  else console.log(formatTable(rows));
  for (const problem of store.problems) console.error(problem);
  return 0;
}

async function removeModel(
  store: ModelStore,
  [air, ...more]: readonly string[],
  { yes, json }: ModelsValues,
  config: Config,
): Promise<number> {
  if (air === undefined) throw cliError('argumentMissing', 'models remove needs the AIR of what to remove.');
  if (more.length > 0)
    throw cliError('argumentUnexpected', `models remove takes one AIR; found ${more.length + 1}.`);
  const removal = await removalOf(store, air, config.modelsDir);
  const what = `${removal.air} (${removal.name}), ${formatBytes(removal.bytes)} in ${removal.folder}`;
  if (!yes) {
    if (!canAsk())
      throw cliError('argumentMissing', `${what} would be removed; --yes does it without asking.`);
    if (!(await ask(`Remove ${what}?`))) return 1;
  }
  await remove(removal);
  console.log(json ? JSON.stringify(removal, null, 2) : `${what}, is removed.`);
  return 0;
}
