/** How many tokens a model's prompts and images are. */
import type { Size } from '../image/sizes.ts';
import type { Components } from './components.ts';

/** T5's length where its tokenizer names none: what BFL and diffusers pad Kontext's prompts to. */
const defaultLength = 512;

/** Tokens of every prompt, padding included. */
export function textTokens({ t5 }: Pick<Components, 't5'>): number {
  return t5.tokenizer.maxLength ?? defaultLength;
}

/** A token is a square of 2×2 latent positions. */
export function imageTokens(
  { autoencoder }: Pick<Components, 'autoencoder'>,
  { width, height }: Size,
): number {
  const side = 2 * autoencoder.config.stride;
  return Math.ceil(width / side) * Math.ceil(height / side);
}

/** Tokens of an edit of one megapixel with one reference: 8,704 in FLUX.1. */
export function standardTokens(components: Pick<Components, 't5' | 'autoencoder'>): number {
  return textTokens(components) + 2 * imageTokens(components, { width: 1024, height: 1024 });
}
