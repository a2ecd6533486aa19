/** Image autoencoder checkpoints (AutoencoderKL): BFL's names (ours) and diffusers', alone or in an all-in-one file. */
import { type Dialect, prefixed } from './index.ts';

const ends: Record<string, string> = {
  norm_out: 'conv_norm_out',
  'mid.block_1': 'mid_block.resnets.0',
  'mid.block_2': 'mid_block.resnets.1',
  'mid.attn_1.norm': 'mid_block.attentions.0.group_norm',
  'mid.attn_1.q': 'mid_block.attentions.0.to_q',
  'mid.attn_1.k': 'mid_block.attentions.0.to_k',
  'mid.attn_1.v': 'mid_block.attentions.0.to_v',
  'mid.attn_1.proj_out': 'mid_block.attentions.0.to_out.0',
};

const probe = 'decoder.mid_block.resnets.0.conv1.weight';

function diffusers(prefix: string): Dialect {
  return {
    name: prefix === '' ? 'diffusers' : `diffusers, all in one (${prefix})`,
    probe: prefix + probe,
    prefix,
    matches: (names) => names.has(prefix + probe),
    locate(name, names) {
      const half = name.match(/^(encoder|decoder)\.(.+)$/);
      if (!half) return [{ name: prefix + name }];
      const [, side, inner] = half as unknown as [string, string, string];
      const stored = `${prefix}${side}.${inside(inner, () => levelsOf(names, prefix))}`;
      return [{ name: names.has(stored) ? stored : olderName(stored, names) }];
    },
  };
}

/** Attention layers' names in diffusers before 0.15, which converted files still have. */
const older: Readonly<Record<string, string>> = {
  to_q: 'query',
  to_k: 'key',
  to_v: 'value',
  'to_out.0': 'proj_attn',
};

function olderName(stored: string, names: ReadonlySet<string>): string {
  const name = stored.replace(
    /(?<=\.attentions\.0\.)(to_q|to_k|to_v|to_out\.0)(?=\.)/,
    (layer) => older[layer]!,
  );
  return names.has(name) ? name : stored;
}

function inside(name: string, levels: () => number): string {
  const block = name.match(/^(down|up)\.(\d+)\.(.+)$/);
  if (!block) {
    const stem = Object.keys(ends).find((candidate) => name.startsWith(`${candidate}.`));
    return shortcut(stem ? ends[stem] + name.slice(stem.length) : name);
  }
  const [, side, index, inner] = block as unknown as [string, string, string, string];
  // BFL counts the decoder's levels from the finest, diffusers in the order they run.
  const level = side === 'up' ? levels() - 1 - Number(index) : Number(index);
  const renamed = inner
    .replace(/^block\./, 'resnets.')
    .replace(/^downsample\./, 'downsamplers.0.')
    .replace(/^upsample\./, 'upsamplers.0.');
  return shortcut(`${side}_blocks.${level}.${renamed}`);
}

function shortcut(name: string): string {
  return name.replace('.nin_shortcut.', '.conv_shortcut.');
}

function levelsOf(names: ReadonlySet<string>, prefix: string): number {
  // The highest number of any tensor: were it one tensor's, its absence would rename all the others.
  const stem = `${prefix}decoder.up_blocks.`;
  const inside = [...names].filter((name) => name.startsWith(stem));
  return Math.max(-1, ...inside.map((name) => Number.parseInt(name.slice(stem.length), 10))) + 1;
}

export const autoencoderDialects: readonly Dialect[] = [
  diffusers(''),
  diffusers('vae.'),
  diffusers('first_stage_model.'),
  prefixed('bfl', '', 'decoder.mid.block_1.conv1.weight'),
  prefixed('bfl, all in one', 'vae.', 'decoder.mid.block_1.conv1.weight'),
  prefixed('ldm, all in one', 'first_stage_model.', 'decoder.mid.block_1.conv1.weight'),
];
