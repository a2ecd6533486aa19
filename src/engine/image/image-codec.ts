/** Encoded images in and out, and the only door to sharp. */
import sharp, { type Metadata, type Sharp } from 'sharp';
import { EngineError } from '../errors.ts';
import { decodeBmp, probeBmp } from './bmp.ts';
import type { EncodedImage, ImageFormat } from './formats.ts';
import { readJpegStructure } from './jpeg-scans.ts';
import type { Bitmap } from './pixels.ts';
import { resizeLanczos } from './resample.ts';
import { describeStart, sniffFormat, sniffUpload, type UploadFormat } from './signatures.ts';
import { nearestPreferredSize, type Size } from './sizes.ts';

export type ImageInfo = { width: number; height: number; format: ImageFormat };

/** 64 megapixels: twice the largest camera phones, and 200 MB once decoded. */
const defaultPixelLimit = 64 * 1024 * 1024;

/**
 * Encoders write about ten scans. The cost of decoding is linear in them (6 ms each at 64 megapixels), their size is
 * not: a file of 200 kB can hold a thousand (libjpeg-turbo issue 284).
 */
export const scanLimit = 100;

/**
 * Reads an image's properties from its header alone. Width and height apply the EXIF orientation.
 *
 * @throws RetouchError `imageUndecodable` when it is not a PNG, JPEG or WebP, `imageTooLarge` above the limit of pixels
 *   or of scans
 */
export async function probeImage(bytes: Uint8Array, pixelLimit = defaultPixelLimit): Promise<ImageInfo> {
  // Checked before sharp opens the file: sharp also reads SVG, which can reference files and URLs.
  const format = sniffFormat(bytes) ?? throwUnknown(bytes, 'a PNG, JPEG or WebP');
  const { width, height } = await readHeader(bytes, format, pixelLimit);
  return { width, height, format };
}

/** The properties of an image that its header gives, before its pixels are decoded. */
type Header = Size & {
  /** 16 bits per channel with an embedded colour profile; `grey` has one channel. */
  deepColours: 'rgb' | 'grey' | undefined;
};

async function readHeader(bytes: Uint8Array, format: UploadFormat, pixelLimit: number): Promise<Header> {
  const { width, height, deepColours } =
    format === 'bmp'
      ? { ...probeBmp(bytes), deepColours: undefined }
      : await sharp(bytes, { limitInputPixels: false })
          .metadata()
          .then(
            ({ autoOrient, ...colours }) => ({ ...autoOrient, deepColours: deepColoursOf(colours) }),
            (error: unknown) => throwUndecodable(bytes, format, error),
          );
  if (format === 'jpg') checkScans(bytes);
  if (width * height <= pixelLimit) return { width, height, deepColours };
  throw new EngineError(
    'imageTooLarge',
    `The image is ${width}×${height}, ${width * height} pixels; at most ${pixelLimit} pixels are accepted.`,
    { width, height, pixels: width * height, pixelLimit },
  );
}

function deepColoursOf({ space, hasProfile }: Pick<Metadata, 'space' | 'hasProfile'>): Header['deepColours'] {
  if (!hasProfile) return undefined;
  return space === 'rgb16' ? 'rgb' : space === 'grey16' ? 'grey' : undefined;
}

function checkScans(bytes: Uint8Array): void {
  const { scans } = readJpegStructure(bytes);
  if (scans <= scanLimit) return;
  const message = `The image is a JPEG of ${scans} scans; at most ${scanLimit} are decoded.`;
  throw new EngineError('imageTooLarge', message, { scans, scanLimit });
}

/**
 * Prepares an image for storage: one within the size limit keeps its bytes, a larger one is scaled down to the limit, and
 * BMP and GIF (first frame) become PNG. Every image is fully decoded, so that a stored image is known to be usable.
 *
 * @throws RetouchError `imageUndecodable`, `imageTooLarge`
 */
export async function prepareUpload(
  bytes: Uint8Array,
  longestSide: number,
  pixelLimit = defaultPixelLimit,
): Promise<EncodedImage> {
  const format = sniffUpload(bytes) ?? throwUnknown(bytes, 'a PNG, JPEG, WebP, BMP or GIF');
  const { width, height, deepColours } = await readHeader(bytes, format, pixelLimit);
  const fits = Math.max(width, height) <= longestSide;
  const image = format === 'bmp' ? openBmp(bytes) : openColours(bytes, format, { deepColours, pixelLimit });
  const stored = format === 'bmp' || format === 'gif' ? 'png' : format;
  if (fits && stored === format) {
    await image
      .raw()
      .toBuffer()
      .catch((error: unknown) => throwUndecodable(bytes, format, error));
    return { bytes, format: stored, width, height };
  }
  image
    .autoOrient()
    .resize({ width: longestSide, height: longestSide, fit: 'inside', withoutEnlargement: true });
  setFormat(image, stored, 95);
  const { data, info } = await image
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown) => throwUndecodable(bytes, format, error));
  return { bytes: data, format: stored, width: info.width, height: info.height };
}

function openBmp(bytes: Uint8Array): Sharp {
  const { width, height, data } = decodeBmp(bytes);
  return sharp(data, { raw: { width, height, channels: 3 } });
}

/**
 * The image in sRGB, with its profile applied. Of 16 bits with a profile the upper 8 are taken before the profile is
 * applied, as Pillow does: libvips would convert to Display P3 and leave the numbers in it (sharp issues 2037, 4008), and
 * would not convert grey at all.
 */
function openColours(
  bytes: Uint8Array,
  format: UploadFormat,
  { deepColours, pixelLimit }: Pick<Header, 'deepColours'> & { pixelLimit: number },
): Sharp {
  // Browsers show a JPEG that lacks its end marker and nothing else. A strict decode distinguishes it from a truncated
  // file.
  const unended = format === 'jpg' && !readJpegStructure(bytes).ended;
  const whole = unended ? Buffer.concat([bytes, Uint8Array.of(0xff, 0xd9)]) : bytes;
  const image = sharp(whole, {
    limitInputPixels: pixelLimit,
    failOn: unended ? 'warning' : 'error',
    ignoreIcc: deepColours !== undefined,
  });
  if (!deepColours) return image.toColourspace('srgb');
  return image
    .toColourspace(deepColours === 'grey' ? 'b-w' : 'srgb')
    .withIccProfile('srgb', { attach: false });
}

/**
 * An image as 8-bit sRGB: its EXIF orientation applied, transparency composited on white, 16 bits, grey, palettes and
 * CMYK converted, an embedded colour profile applied, the first frame of an animation.
 *
 * @throws RetouchError as `probeImage` does, and `imageUndecodable` when the file is damaged or truncated
 */
export async function decodeImage(bytes: Uint8Array, pixelLimit = defaultPixelLimit): Promise<Bitmap> {
  const format = sniffFormat(bytes) ?? throwUnknown(bytes, 'a PNG, JPEG or WebP');
  const { deepColours } = await readHeader(bytes, format, pixelLimit);
  const { data, info } = await openColours(bytes, format, { deepColours, pixelLimit })
    .autoOrient()
    .flatten({ background: '#ffffff' })
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown) => throwUndecodable(bytes, format, error));
  return { width: info.width, height: info.height, data };
}

/**
 * The opacity of an image, 0 … 255, [height, width], with its EXIF orientation applied; undefined when it has no alpha
 * channel.
 *
 * @throws RetouchError as `decodeImage` does
 */
export async function decodeAlpha(
  bytes: Uint8Array,
  pixelLimit = defaultPixelLimit,
): Promise<{ width: number; height: number; data: Uint8Array } | undefined> {
  const { format } = await probeImage(bytes, pixelLimit);
  const image = sharp(bytes, { limitInputPixels: pixelLimit, failOn: 'error' });
  if (!(await image.metadata()).hasAlpha) return undefined;
  const { data, info } = await image
    .autoOrient()
    .toColourspace('srgb')
    .extractChannel('alpha')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown) => throwUndecodable(bytes, format, error));
  return { width: info.width, height: info.height, data };
}

/**
 * A reference at a size Kontext was trained at: stretched to the preferred size of the nearest aspect ratio, so that
 * nothing of the image is lost (black-forest-labs/flux and diffusers stretch, ComfyUI crops).
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
  setFormat(image, format, quality);
  return { bytes: await image.toBuffer(), format, width, height };
}

function setFormat(image: Sharp, format: ImageFormat, quality: number): void {
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
}

function throwUnknown(bytes: Uint8Array, expected: string): never {
  const message = `The image ${describeStart(bytes)}; ${expected} is expected.`;
  throw new EngineError('imageUndecodable', message, { bytes: bytes.length });
}

function throwUndecodable(bytes: Uint8Array, format: UploadFormat, error: unknown): never {
  const reason = error instanceof Error ? error.message.trim().replace(/\s+/g, ' ') : String(error);
  throw new EngineError(
    'imageUndecodable',
    `The image begins as a ${format} does but cannot be decoded from its ${bytes.length} bytes (${reason}); a whole picture is expected.`,
    { bytes: bytes.length, format, reason },
    { cause: error },
  );
}
