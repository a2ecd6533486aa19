/** Identifies a file or folder of weights by its tensors' names. Reads headers only. */

import type { Checkpoint } from '../weights/checkpoint.ts';
import { autoencoderDialects } from '../weights/dialects/autoencoder.ts';
import { autoencoderTinyDialects } from '../weights/dialects/autoencoder-tiny.ts';
import { clipDialects } from '../weights/dialects/clip.ts';
import { fluxDialects } from '../weights/dialects/flux.ts';
import type { Dialect } from '../weights/dialects/index.ts';
import { t5Dialects } from '../weights/dialects/t5.ts';
import { detectFamily } from './lora/families/detect.ts';
import { checkLoraNames } from './lora/names.ts';
import { locatePart } from './lora/parts.ts';

/** Networks of a checkpoint; an all-in-one file holds several. */
const networks = {
  transformer: fluxDialects,
  autoencoder: autoencoderDialects,
  tinyAutoencoder: autoencoderTinyDialects,
  clip: clipDialects,
  t5: t5Dialects,
} as const satisfies Record<string, readonly Dialect[]>;

export type WeightKind = keyof typeof networks | 'ip-adapter' | 'image-encoder' | 'lora';

/** XLabs' projection, InstantX's, and the first layer of CLIP's or SigLIP's image encoder. */
const ipAdapters = ['ip_adapter_proj_model.', 'image_proj.'];
const imageEncoder = /^vision_model\.embeddings\.patch_embedding\.weight$/;

/**
 * Empty when no known kind matches. A LoRA is recognised by the suffixes of its tensor names; the prefixes are layer
 * names, as in checkpoints.
 *
 * @throws RetouchError `loraRefused`, and `loraUnknown` for a LoRA of no known family
 */
export function identify({ tensors, path }: Checkpoint): WeightKind[] {
  const names = new Set(tensors.keys());
  const list = [...names];
  if (list.some((name) => ipAdapters.some((prefix) => name.startsWith(prefix)))) return ['ip-adapter'];
  const found = Object.entries(networks).filter(([, dialects]) =>
    dialects.some((dialect: Dialect) => dialect.matches(names)),
  );
  if (found.length > 0) return found.map(([kind]) => kind as WeightKind);
  if (list.some((name) => imageEncoder.test(name))) return ['image-encoder'];
  const isLora = list.some((name) => locatePart(name) !== undefined);
  try {
    const family = detectFamily(list, path);
    if (!list.some((name) => family.locate(name) !== undefined)) return [];
    checkLoraNames(list, path);
    return ['lora'];
  } catch (error) {
    if (isLora) throw error;
    return [];
  }
}
