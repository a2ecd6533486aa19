/** Selects the files of a repository that make up a model. */

import { formatBytes } from '../../bytes.ts';
import { shardOf } from '../../engine/weights/shards.ts';
import type { HubFile, HubRepository } from '../../store/hub.ts';
import { cliError } from '../flags/arguments.ts';

const folders = [
  'scheduler',
  'tokenizer',
  'tokenizer_2',
  'text_encoder',
  'text_encoder_2',
  'transformer',
  'vae',
];
/** File types in the component folders: configurations, vocabularies and weights. */
const kept = /\.(json|txt|safetensors)$/;
/** File types at the top: the index, the licence and the card that names it. */
const papers = /^(model_index\.json|LICENSE(\.\w+)?|README\.md)$/i;
const weights = /\.(safetensors|gguf)$/;

/**
 * @param wanted paths that the user named; without any, a diffusers pipeline's files, or the only file of weights
 * @throws RetouchError `modelFilesUnknown`, which lists the available files
 */
export function selectFiles({ name, files }: HubRepository, wanted: readonly string[]): HubFile[] {
  const top = files.filter(({ path }) => papers.test(path));
  if (wanted.length > 0) {
    const named = wanted.map((path) => {
      const file = files.find((candidate) => candidate.path === path);
      const shard = file && shardOf(path);
      if (shard)
        throw cliError(
          'modelFilesUnknown',
          `${path} is part ${shard.number} of ${shard.of} of a network, which is of no use alone; without --file the whole pipeline of ${name} is taken.`,
        );
      if (file) return file;
      throw cliError('modelFilesUnknown', `${name} has no file ${path}; it has ${listWeights(files)}.`);
    });
    return withAdapterConfigs([...top.filter(({ path }) => path !== 'model_index.json'), ...named], files);
  }
  if (files.some(({ path }) => path === 'model_index.json')) {
    const inside = files.filter(({ path }) => {
      const [folder, file, ...deeper] = path.split('/');
      return folders.includes(folder!) && file !== undefined && deeper.length === 0 && kept.test(file);
    });
    return [...top, ...inside.filter(({ path }) => !isVariant(path, inside))];
  }
  const single = files.filter(({ path }) => weights.test(path));
  if (single.length === 1) return withAdapterConfigs([...top, ...single], files);
  throw cliError(
    'modelFilesUnknown',
    `${name} is no diffusers pipeline (it has no model_index.json); name its files with --file: it has ${listWeights(files)}.`,
  );
}

/** PEFT keeps a LoRA's scale in a file beside it. */
function withAdapterConfigs(chosen: readonly HubFile[], all: readonly HubFile[]): HubFile[] {
  const configs = chosen.flatMap(({ path }) => {
    const folder = path.match(/^(.*\/)?adapter_model\.(safetensors|bin)$/);
    const config = folder && all.find((file) => file.path === `${folder[1] ?? ''}adapter_config.json`);
    return config && !chosen.includes(config) ? [config] : [];
  });
  return [...chosen, ...configs];
}

/** `model.fp16.safetensors` beside `model.safetensors` holds the same weights, rounded. */
function isVariant(path: string, files: readonly HubFile[]): boolean {
  const plain = path.replace(/\.(fp16|bf16|fp32|non_ema)(?=[.-])/, '');
  return plain !== path && files.some((file) => file.path === plain);
}

function listWeights(files: readonly HubFile[]): string {
  const found = files.filter(({ path }) => weights.test(path));
  const shown = found.slice(0, 12).map(({ path, size }) => `${path} (${formatBytes(size)})`);
  const rest = found.length - shown.length;
  return `${shown.join(', ') || 'no weights that are read here'}${rest > 0 ? ` and ${rest} more` : ''}`;
}
