/** Stored pictures as resources, and the many ways in which a client names a picture. */

import type { ReadResourceResult, Resource, ResourceTemplate } from '@modelcontextprotocol/sdk/types.js';
import { isUuid } from '../api/validate.ts';
import { mediaTypes } from '../store/assets.ts';
import type { Client, Desk } from './tool.ts';

const prefix = 'retouch://pictures/';
/** Pictures in the list, the newest first; older ones can still be read by their URI. */
const listed = 50;

export const pictureTemplate: ResourceTemplate = {
  uriTemplate: `${prefix}{uuid}`,
  name: 'picture',
  title: 'A stored picture',
  description: 'A picture that was made here or uploaded.',
};

export function pictureUri(uuid: string): string {
  return `${prefix}${uuid}`;
}

export function listPictures({ lifetimes }: Desk, { account }: Client): Resource[] {
  return lifetimes.recent(account, listed).map(({ uuid, used }) => ({
    uri: pictureUri(uuid),
    name: uuid,
    description: `Last used ${new Date(Date.now() - used).toISOString().slice(0, 16)}Z.`,
  }));
}

/** Undefined when no stored picture of the client has that URI. */
export async function readPicture(
  uri: string,
  { assets }: Desk,
  { account }: Client,
): Promise<ReadResourceResult | undefined> {
  const uuid = uuidOf(uri);
  const asset = uuid === undefined ? undefined : await assets.get(uuid);
  if (!asset || (asset.account ?? account) !== account) return undefined;
  const blob = Buffer.from(asset.bytes).toString('base64');
  return { contents: [{ uri, mimeType: mediaTypes[asset.format], blob }] };
}

/** Converts MCP's own forms to the form that the task API takes; other values pass unchanged. */
export function pictureText(value: unknown): unknown {
  if (typeof value === 'string') return uuidOf(value) ?? value;
  if (typeof value !== 'object' || value === null) return value;
  const { type, data, mimeType = 'image/png' } = value as Record<string, unknown>;
  if (type !== 'image' || typeof data !== 'string') return value;
  return `data:${mimeType};base64,${data}`;
}

function uuidOf(uri: string): string | undefined {
  const uuid = uri.startsWith(prefix) ? uri.slice(prefix.length) : '';
  return isUuid(uuid) ? uuid.toLowerCase() : undefined;
}
