/** Image formats by file name suffix. */

import { extname } from 'node:path';
import type { ImageFormat } from '../../engine/plan.ts';
import { cliError } from './arguments.ts';

const formats: Readonly<Record<string, ImageFormat>> = {
  '.jpg': 'jpg',
  '.jpeg': 'jpg',
  '.png': 'png',
  '.webp': 'webp',
};

export function looksLikePicture(word: string): boolean {
  return Object.hasOwn(formats, extname(word).toLowerCase());
}

export function formatOf(path: string): ImageFormat {
  const suffix = extname(path).toLowerCase();
  const format = Object.hasOwn(formats, suffix) ? formats[suffix] : undefined;
  if (format) return format;
  const found = suffix === '' ? 'no suffix' : `the suffix '${suffix}'`;
  const allowed = Object.keys(formats).join(', ');
  throw cliError(
    'outputUnusable',
    `${path} has ${found}, which decides the format; expected one of ${allowed}.`,
  );
}
