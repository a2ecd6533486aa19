/** The scale settings that a LoRA carries beside its tensors. */
import fs from 'node:fs';
import path from 'node:path';
import { EngineError } from '../../errors.ts';
import { type Checkpoint, readJson } from '../../weights/checkpoint.ts';
import { weightFiles } from '../../weights/shards.ts';
import type { Network } from './layers.ts';

/** The fields of PEFT's LoraConfig that affect the result. */
export type LoraSettings = {
  alpha: number | undefined;
  /** Alpha by layer; the first pattern that matches the layer's name counts. */
  alphas: readonly { pattern: RegExp; alpha: number }[];
  rankStabilised: boolean;
};

const none: LoraSettings = { alpha: undefined, alphas: [], rankStabilised: false };

/** diffusers' component name of each network: the prefix of its settings in the metadata. */
const components: Readonly<Record<Network, string>> = {
  transformer: 'transformer',
  clip: 'text_encoder',
  t5: 'text_encoder_2',
};

/** File names that PEFT's adapter_config.json describes; other files in the folder are unrelated LoRAs. */
const peftFile = /^adapter_model\.(safetensors|bin)$/;

/**
 * From the metadata that diffusers writes, from keys of the header that other trainers write, or from PEFT's
 * adapter_config.json beside the file that it belongs to.
 */
export function loraSettings({ path: where, metadata }: Checkpoint): Record<Network, LoraSettings> {
  const text = metadata.lora_adapter_metadata;
  if (text !== undefined) {
    const all = parse(text, where);
    return forNetworks((prefix) => settingsOf(under(all, prefix), where));
  }
  const plain = forNetworks((prefix) => plainSettings(metadata, prefix));
  // Uses the given name: in a download cache it is a link to a file named by its hash.
  const file = fs.statSync(where).isDirectory()
    ? path.join(where, weightFiles(where, fs.readdirSync(where))[0]!)
    : where;
  const config = path.join(path.dirname(file), 'adapter_config.json');
  if (!peftFile.test(path.basename(file)) || !fs.existsSync(config)) return plain;
  return { ...plain, transformer: settingsOf(readJson(config), config) };
}

function forNetworks(of: (prefix: string) => LoraSettings): Record<Network, LoraSettings> {
  const [transformer, clip, t5] = (['transformer', 'clip', 't5'] as const).map((network) =>
    of(`${components[network]}.`),
  ) as [LoraSettings, LoraSettings, LoraSettings];
  return { transformer, clip, t5 };
}

function under(all: Record<string, unknown>, prefix: string): Record<string, unknown> {
  const own = Object.entries(all).filter(([key]) => key.startsWith(prefix));
  return Object.fromEntries(own.map(([key, value]) => [key.slice(prefix.length), value]));
}

/** Names under which trainers write alpha as a text of the header: PEFT's, sd-scripts' and others'. */
const alphaKeys = ['lora_alpha', 'network_alpha', 'ss_network_alpha', 'alpha'];

function plainSettings(metadata: Readonly<Record<string, string>>, prefix: string): LoraSettings {
  const texts = alphaKeys.flatMap((key) => [metadata[prefix + key], metadata[key]]);
  const alpha = texts.map((text) => Number.parseFloat(text ?? '')).find(Number.isFinite);
  const rslora = metadata[`${prefix}use_rslora`] ?? metadata.use_rslora ?? '';
  return alpha === undefined ? none : { alpha, alphas: [], rankStabilised: /^true$/i.test(rslora) };
}

function settingsOf(config: Record<string, unknown>, where: string): LoraSettings {
  const { lora_alpha, alpha_pattern, use_rslora } = config;
  return {
    alpha: typeof lora_alpha === 'number' ? lora_alpha : undefined,
    alphas: Object.entries((alpha_pattern ?? {}) as Record<string, number>).map(([key, alpha]) => ({
      pattern: layerPattern(key, where),
      alpha,
    })),
    rankStabilised: use_rslora === true,
  };
}

/** peft/utils/other.py `get_pattern_key`: a key is a regular expression of the end of a layer's name, from a dot on. */
function layerPattern(key: string, where: string): RegExp {
  try {
    return new RegExp(`^(?:.*\\.)?(?:${key})$`);
  } catch (cause) {
    throw new EngineError(
      'loraInvalid',
      `${where}: the key ${JSON.stringify(key)} of its alpha_pattern is no regular expression that can be read`,
      { path: where },
      { cause },
    );
  }
}

function parse(text: string, where: string): Record<string, unknown> {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EngineError(
      'loraInvalid',
      `${where}: its metadata lora_adapter_metadata is not JSON`,
      { path: where },
      { cause },
    );
  }
}

/**
 * The factor of a product of rank r: alpha/r, or alpha/√r if it is rank-stabilised (Kalajdzievski, arXiv 2312.03732). A
 * tensor `alpha` takes precedence over the settings; without either alpha is r.
 */
export function scaleOf(
  module: string,
  { rank, alpha }: { rank: number; alpha: number | undefined },
  { alpha: general, alphas, rankStabilised }: LoraSettings,
): number {
  const own = alphas.find(({ pattern }) => pattern.test(module));
  const value = alpha ?? own?.alpha ?? general;
  if (value === undefined) return 1;
  return alpha === undefined && rankStabilised ? value / Math.sqrt(rank) : value / rank;
}
