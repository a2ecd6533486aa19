/** Results → the answers and the events of OpenAI's Images API. */

import type { Failure } from '../errors.ts';
import type { ImageItem } from '../results.ts';
import { type OpenAIError, toOpenAIError } from './errors.ts';
import type { ImagesRequest, Kind } from './requests.ts';

export type Picture = { width: number; height: number };

export type ImagesAnswer = {
  created: number;
  data: { b64_json?: string; url?: string; seed: bigint }[];
  background: 'opaque';
  output_format: string;
  quality: string;
  size?: string;
  /** Errors of images that failed while others were made. */
  errors?: OpenAIError['error'][];
};

export type Made = {
  items: readonly ImageItem[];
  failures: readonly Failure[];
  /** The image's size in pixels; unknown for images that an earlier process made. */
  size: Picture | undefined;
};

export function toImagesAnswer(request: ImagesRequest, { items, failures, size }: Made): ImagesAnswer {
  return {
    created: seconds(),
    data: items.map(toData),
    ...describe(request, size),
    ...(failures.length === 0
      ? {}
      : { errors: failures.map((failure) => toOpenAIError([failure]).body.error) }),
  };
}

function toData({ imageURL, imageBase64Data, seed }: ImageItem): ImagesAnswer['data'][number] {
  return imageURL === undefined ? { b64_json: imageBase64Data ?? '', seed } : { url: imageURL, seed };
}

function describe({ output_format, quality }: ImagesRequest, size: Picture | undefined) {
  return {
    background: 'opaque' as const,
    output_format,
    quality: quality === 'auto' || quality === 'standard' ? 'medium' : quality === 'hd' ? 'high' : quality,
    ...(size === undefined ? {} : { size: `${size.width}x${size.height}` }),
  };
}

const prefixes = { edit: 'image_edit', generation: 'image_generation' } as const satisfies Record<
  Kind,
  string
>;

/** `index` counts the previews of one image. */
export function partialEvent(
  kind: Kind,
  request: ImagesRequest,
  { b64_json, index, size }: { b64_json: string; index: number; size: Picture },
): object {
  const type = `${prefixes[kind]}.partial_image`;
  const facts = { created_at: seconds(), partial_image_index: index };
  return { type, b64_json, ...facts, ...describe(request, size) };
}

export function completedEvent(
  kind: Kind,
  request: ImagesRequest,
  { item: { imageBase64Data = '', seed }, size }: { item: ImageItem; size: Picture | undefined },
): object {
  const type = `${prefixes[kind]}.completed`;
  const facts = { created_at: seconds(), seed };
  return { type, b64_json: imageBase64Data, ...facts, ...describe(request, size) };
}

export type ModelEntry = { id: string; object: 'model'; created: number; owned_by: string };

/** `found`: when the server found the model, in milliseconds since 1970. */
export function toModelEntry(id: string, air: string, found: number): ModelEntry {
  return { id, object: 'model', created: Math.floor(found / 1000), owned_by: air.split(':', 1)[0]! };
}

function seconds(): number {
  return Math.floor(Date.now() / 1000);
}
