/**
 * Latents and tokens. A latent is [C, h, w], row-major; two by two of its positions make one token of 4·C channels,
 * so the network sees [h/2 · w/2, 4·C]. black-forest-labs/flux `sampling.py`, `prepare` and `unpack`.
 */

/** The sides of a latent; h and w are even. */
export type LatentShape = { channels: number; h: number; w: number };

/** "c (h ph) (w pw) -> (h w) (c ph pw)": [C, h, w] to tokens [h/2 · w/2, C·4]. */
export function pack(latent: Float32Array, shape: LatentShape): Float32Array {
  const tokens = new Float32Array(latent.length);
  eachElement(shape, (position, packed) => {
    tokens[packed] = latent[position]!;
  });
  return tokens;
}

/** The inverse of `pack`. */
export function unpack(tokens: Float32Array, shape: LatentShape): Float32Array {
  const latent = new Float32Array(tokens.length);
  eachElement(shape, (position, packed) => {
    latent[position] = tokens[packed]!;
  });
  return latent;
}

function eachElement(
  { channels, h, w }: LatentShape,
  visit: (position: number, packed: number) => void,
): void {
  let position = 0;
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        const token = (y >> 1) * (w >> 1) + (x >> 1);
        visit(position++, token * channels * 4 + c * 4 + (y & 1) * 2 + (x & 1));
      }
    }
  }
}

/** Packed standard normal noise, drawn in the order of the unpacked latent [1, C, h, w], as every peer draws it. */
export function drawNoise(draw: (count: number) => Float32Array, shape: LatentShape): Float32Array {
  return pack(draw(shape.channels * shape.h * shape.w), shape);
}

/** `scaling_factor` and `shift_factor` of the autoencoder's configuration. */
export type LatentScale = { scale: number; shift: number };

/** The autoencoder's latent to the transformer's. */
export function scaleLatent(latent: Float32Array, { scale, shift }: LatentScale): Float32Array {
  return latent.map((z) => (z - shift) * scale);
}

/** The transformer's latent to the autoencoder's. */
export function unscaleLatent(latent: Float32Array, { scale, shift }: LatentScale): Float32Array {
  return latent.map((x) => x / scale + shift);
}
