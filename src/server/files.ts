/** `GET /images/<uuid>.<format>`: stored pictures. Their address is a secret of 122 bits, so no key is asked for. */

import type { FastifyPluginAsync } from 'fastify';
import { apiError } from '../api/errors.ts';
import type { Asset, AssetStore } from '../store/assets.ts';
import { mediaTypes } from '../store/assets.ts';

export type FilesOptions = { assets: AssetStore };

export const files: FastifyPluginAsync<FilesOptions> = async (server, { assets }) => {
  server.get<{ Params: { name: string } }>('/images/:name', async (request, reply) => {
    const { name } = request.params;
    const dot = name.lastIndexOf('.');
    const asset = await assets.get(name.slice(0, dot));
    if (!asset || asset.format !== name.slice(dot + 1)) {
      throw apiError('mediaNotFound', `There is no picture ${name.slice(0, 60)}.`);
    }
    return reply
      .headers({
        // A page that knows the address may draw and save the picture.
        'access-control-allow-origin': '*',
        'cache-control': `public, max-age=${secondsOf(asset)}, immutable`,
        'content-security-policy': "default-src 'none'",
        'cross-origin-resource-policy': 'cross-origin',
        'x-content-type-options': 'nosniff',
      })
      .type(mediaTypes[asset.format])
      .send(asset.bytes);
  });
};

/** An image never changes, so it may be cached for a year, but not beyond its expiry. */
function secondsOf({ ttl = Number.POSITIVE_INFINITY }: Asset): number {
  return Math.max(0, Math.min(31_536_000, Math.floor(ttl / 1000)));
}
