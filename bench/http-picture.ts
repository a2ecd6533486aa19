/** The picture of `bench http`, as large as a real result. */

import { encodeImage } from '../src/engine/image/image-codec.ts';

/** Noise does not compress, so a quarter of the side gives about a photograph's file size. */
const side = 256;

export function picture(): Promise<{ bytes: Uint8Array }> {
  const data = Uint8Array.from(
    { length: side * side * 3 },
    (_, i) => (Math.imul(i, 2654435761) >>> 13) & 255,
  );
  return encodeImage({ width: side, height: side, data }, 'jpg', 95);
}
