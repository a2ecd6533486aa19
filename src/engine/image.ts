/** Encoded pictures in and out, and the only door to sharp. */
import sharp from 'sharp';
import { RetouchError } from '../error.ts';
import type { Bitmap } from './pixels.ts';
import type { EncodedImage, ImageFormat } from './plan.ts';
import { resizeLanczos } from './resample.ts';
import { describeStart, sniffFormat } from './signatures.ts';
import { nearestPreferredSize } from './sizes.ts';

export type ImageInfo = { width: number; height: number; format: ImageFormat };

/** 64 megapixels: twice the largest camera phones, and 200 MB once decoded. */
export const defaultPixelLimit = 64 * 1024 * 1024;

/**
 * What a picture is, from its header alone. Width and height are as seen, after the EXIF orientation.
 *
 * @throws RetouchError `imageUndecodable` when it is not a PNG, JPEG or WebP, `imageTooLarge` above the limit
 */
export async function probeImage(bytes: Uint8Array, pixelLimit = defaultPixelLimit): Promise<ImageInfo> {
  // Asked before sharp, which would also open SVG, whose references reach for files and addresses.
  const format = sniffFormat(bytes);
  if (!format) {
    throw new RetouchError(
      'imageUndecodable',
      `The image ${describeStart(bytes)}; a PNG, JPEG or WebP is expected.`,
      { bytes: bytes.length },
    );
  }
  const metadata = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch((error: unknown) => throwUndecodable(bytes, format, error));
  const { width, height } = metadata.autoOrient;
  if (width * height > pixelLimit) {
    throw new RetouchError(
      'imageTooLarge',
      `The image is ${width}×${height}, ${width * height} pixels; at most ${pixelLimit} pixels are accepted.`,
      { width, height, pixels: width * height, pixelLimit },
    );
  }
  return { width, height, format };
}

/**
 * A picture as 8-bit sRGB: turned as its EXIF orientation says, transparency laid on white, 16 bits, grey, palettes
 * and CMYK converted, an embedded colour profile applied, the first frame of an animation.
 *
 * @throws RetouchError as `probeImage` does, and `imageUndecodable` when the file is damaged or cut short
 */
export async function decodeImage(bytes: Uint8Array, pixelLimit = defaultPixelLimit): Promise<Bitmap> {
  const { format } = await probeImage(bytes, pixelLimit);
  const { data, info } = await sharp(bytes, { limitInputPixels: pixelLimit, failOn: 'error' })
    .autoOrient()
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown) => throwUndecodable(bytes, format, error));
  return { width: info.width, height: info.height, data };
}

/**
 * A reference at a size Kontext was trained at: stretched to the preferred size of the nearest aspect ratio, so that
 * nothing of the picture is lost (black-forest-labs/flux and diffusers stretch, ComfyUI crops).
 */
export function resizeReference(bitmap: Bitmap): Bitmap {
  const { width, height } = nearestPreferredSize(bitmap);
  return resizeLanczos(bitmap, width, height);
}

/**
 * The same bitmap, format and quality give the same bytes.
 *
 * @param quality 1 … 100 for JPEG and WebP; PNG is lossless and has none
 */
export async function encodeImage(
  bitmap: Bitmap,
  format: ImageFormat,
  quality: number,
): Promise<EncodedImage> {
  const { width, height, data } = bitmap;
  const image = sharp(data, { raw: { width, height, channels: 3 } });
  switch (format) {
    case 'png':
      image.png({ compressionLevel: 6 });
      break;
    case 'jpg':
      // Full-resolution chroma: halved chroma smears the flat, saturated colours of edits.
      image.jpeg({ quality, chromaSubsampling: '4:4:4' });
      break;
    case 'webp':
      image.webp({ quality });
      break;
  }
  return { bytes: await image.toBuffer(), format, width, height };
}

function throwUndecodable(bytes: Uint8Array, format: ImageFormat, error: unknown): never {
  const reason = error instanceof Error ? error.message.trim().replace(/\s+/g, ' ') : String(error);
  throw new RetouchError(
    'imageUndecodable',
    `The image begins as a ${format} does but cannot be decoded from its ${bytes.length} bytes (${reason}); a whole PNG, JPEG or WebP is expected.`,
    { bytes: bytes.length, format, reason },
    { cause: error },
  );
}
