/**
 * The JSON of an item that carries an image. Base64 needs no escaping, and JSON.stringify would look at each of its
 * millions of characters: 11 ms for an image of 3 MB, during which the server answers nobody.
 */

import { stringifyJson } from '../api/json.ts';
import type { Item } from '../api/results.ts';

const fields = ['imageBase64Data', 'imageDataURI'] as const;
/** Placeholder for the image in the JSON of the item; inside another string its quotation marks would be escaped. */
const mark = 'image';

export function textOf(item: Item): string {
  const { head, image, tail } = split(item);
  return head + image + tail;
}

export function split(item: Item): { head: string; image: string; tail: string } {
  for (const field of fields) {
    const image = (item as Partial<Record<(typeof fields)[number], string>>)[field];
    if (image === undefined) continue;
    const text = stringifyJson({ ...item, [field]: mark });
    const label = `"${field}":"`;
    const at = text.indexOf(`${label}${mark}"`) + label.length;
    return { head: text.slice(0, at), image, tail: text.slice(at + mark.length) };
  }
  return { head: stringifyJson(item), image: '', tail: '' };
}
