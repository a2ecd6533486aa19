/** A picture in this browser: dropped by the user or made by the server. */

import { newUuid } from '../server/client.ts';
import { isPhotograph } from './photograph.ts';

export type Picture = {
  /** SHA-256 of the bytes. */
  id: string;
  name: string;
  blob: Blob;
  thumbnail: Blob;
  width: number;
  height: number;
  isPhotograph: boolean;
  /** Its UUID on the server, once it was uploaded or when the server made it. */
  uuid?: string;
  /** SHA-256 of the server's copy where it differs: large uploads are scaled down. */
  storedHash?: string;
  created: number;
};

/** The file is no picture that this browser can read. */
export class NoPicture extends Error {}

const thumbnailSide = 192;
const measuredSide = 256;

/** Throws NoPicture. */
export async function readPicture(blob: Blob, name: string): Promise<Picture> {
  const bitmap = await createImageBitmap(blob).catch(() => undefined);
  if (!bitmap)
    throw new NoPicture(`“${name}” is not a picture that this browser can read; expected PNG, JPEG or WebP.`);
  const { width, height } = bitmap;
  try {
    const thumbnail = await draw(bitmap, thumbnailSide).canvas.convertToBlob({
      type: 'image/webp',
      quality: 0.8,
    });
    const small = draw(bitmap, measuredSide);
    const pixels = small.getImageData(0, 0, small.canvas.width, small.canvas.height);
    return {
      id: await hash(blob),
      ...{ name, blob, thumbnail, width, height },
      isPhotograph: isPhotograph(pixels.data, pixels.width),
      created: Date.now(),
    };
  } finally {
    bitmap.close();
  }
}

function draw(bitmap: ImageBitmap, side: number): OffscreenCanvasRenderingContext2D {
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const size = (length: number) => Math.max(1, Math.round(length * scale));
  const canvas = new OffscreenCanvas(size(bitmap.width), size(bitmap.height));
  const context = canvas.getContext('2d')!;
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return context;
}

async function hash(blob: Blob): Promise<string> {
  // crypto.subtle needs a secure context. Without it a picture is not recognised when it is dropped again.
  if (!crypto.subtle) return newUuid();
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Bytes of a data URI or of base64. */
export function fromBase64(text: string, type = 'image/jpeg'): Blob {
  const [, given = type, data = text] = /^data:([^;,]+);base64,(.*)$/s.exec(text) ?? [];
  const binary = atob(data);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return new Blob([bytes], { type: given });
}

export async function toDataUri(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

const addresses = new WeakMap<Blob, string>();

/** The blob: URL of a blob, made once. */
export function addressOf(blob: Blob): string {
  const known = addresses.get(blob) ?? URL.createObjectURL(blob);
  addresses.set(blob, known);
  return known;
}
