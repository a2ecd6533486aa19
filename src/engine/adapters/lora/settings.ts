/** What a LoRA says about its scale beside its tensors. */
import fs from 'node:fs';
import path from 'node:path';
import { RetouchError } from '../../../error.ts';
import { type Checkpoint, readJson } from '../../weights/checkpoint.ts';
import type { Network } from './layers.ts';

/** PEFT's LoraConfig, as far as it decides numbers. */
export type LoraSettings = {
  alpha: number | undefined;
  /** Names of layers, or ends of them, with an alpha of their own. */
  alphas: Readonly<Record<string, number>>;
  rankStabilised: boolean;
};

const none: LoraSettings = { alpha: undefined, alphas: {}, rankStabilised: false };

/** diffusers' component of each network, before which its settings stand in the metadata. */
const components: Readonly<Record<Network, string>> = {
  transformer: 'transformer',
  clip: 'text_encoder',
  t5: 'text_encoder_2',
};

/** From the metadata diffusers writes, or from PEFT's adapter_config.json beside the file. */
export function loraSettings({ path: where, metadata }: Checkpoint): Record<Network, LoraSettings> {
  const text = metadata.lora_adapter_metadata;
  if (text !== undefined) {
    const all = parse(text, where);
    const of = (network: Network) => {
      const prefix = `${components[network]}.`;
      const own = Object.entries(all).filter(([key]) => key.startsWith(prefix));
      return settingsOf(Object.fromEntries(own.map(([key, value]) => [key.slice(prefix.length), value])));
    };
    return { transformer: of('transformer'), clip: of('clip'), t5: of('t5') };
  }
  const folder = fs.statSync(where).isDirectory() ? where : path.dirname(where);
  const file = path.join(folder, 'adapter_config.json');
  const transformer = fs.existsSync(file) ? settingsOf(readJson(file)) : none;
  return { transformer, clip: none, t5: none };
}

function settingsOf(config: Record<string, unknown>): LoraSettings {
  const { lora_alpha, alpha_pattern, use_rslora } = config;
  return {
    alpha: typeof lora_alpha === 'number' ? lora_alpha : undefined,
    alphas: (alpha_pattern ?? {}) as Record<string, number>,
    rankStabilised: use_rslora === true,
  };
}

function parse(text: string, where: string): Record<string, unknown> {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new RetouchError(
      'loraInvalid',
      `${where}: its metadata lora_adapter_metadata is not JSON`,
      { path: where },
      { cause },
    );
  }
}

/**
 * What a product of rank r is multiplied with: alpha/r, or alpha/√r where it is rank-stabilised (Kalajdzievski,
 * arXiv 2312.03732). A tensor `alpha` comes before the settings; without either alpha is r.
 */
export function scaleOf(
  module: string,
  rank: number,
  alpha: number | undefined,
  { alpha: general, alphas, rankStabilised }: LoraSettings,
): number {
  const own = Object.entries(alphas).find(([key]) => module === key || module.endsWith(`.${key}`));
  const value = alpha ?? own?.[1] ?? general;
  if (value === undefined) return 1;
  return alpha === undefined && rankStabilised ? value / Math.sqrt(rank) : value / rank;
}
