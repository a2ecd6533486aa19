/** Collects an edit's images from the parameters that different clients use. */

import type { WireObject } from '../task-type.ts';

/** OpenAI's own SDKs send `image`; its JSON form has `images` with objects; other servers take `url`. */
const names = ['image', 'images', 'url'] as const;

/** The request with one list, `image`, of texts: URLs, data URIs, base64 or the UUIDs of stored pictures. */
export function collectPictures(wire: WireObject): WireObject {
  const { image, images, url, mask, ...others } = wire;
  const rest = mask === undefined ? others : { ...others, mask: textOf(mask) };
  const given = { image, images, url };
  const list = names.flatMap((name) => toList(given[name])).map(textOf);
  return list.length === 0 ? rest : { image: list, ...rest };
}

function toList(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

/** `{"image_url": "…"}`; any other object stays as it is, and validation refuses it. */
function textOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const { image_url: url } = value as { image_url?: unknown };
  return typeof url === 'string' ? url : value;
}
