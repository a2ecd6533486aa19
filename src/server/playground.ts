/** The playground at `/` and the reference of the API at `/docs`: pages that `npm run build:web` builds from `web/`. */

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { apiError } from '../api/errors.ts';
import type { ModelStore } from '../store/models.ts';

/** Two folders up from `src/server` in a clone and from `dist/server` in the package. */
const builtFolder = fileURLToPath(new URL('../../web/dist', import.meta.url));

export type PlaygroundOptions = {
  models: Pick<ModelStore, 'find'>;
  folder?: string;
};

type File = { type: string; bytes: Buffer; brotli: Buffer | undefined; tag: string };

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webmanifest': 'application/manifest+json',
};

/** Scripts, styles and connections only of this server; pictures also from memory; no page may frame it. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const missing =
  'The playground is not built: run `npm run build:web` in the clone, with its development dependencies installed, and start the server again. The API at POST /v1 works without it.\n';

/** The page at `/`, whose address it shares with the task API: the WebSocket's route calls it for a browser's GET. */
declare module 'fastify' {
  interface FastifyReply {
    sendPlayground(): FastifyReply;
  }
}

const plugin: FastifyPluginAsync<PlaygroundOptions> = async (server, { models, folder = builtFolder }) => {
  const files = await readFiles(folder);
  server.decorateReply('sendPlayground', function (this: FastifyReply) {
    return sendPage(this, files.get('index.html'));
  });
  server.get('/docs', (_request, reply) => sendPage(reply, files.get('docs.html')));
  for (const [name, file] of files) {
    if (!name.endsWith('.html')) serve(server, `/${name}`, file);
  }
  server.get<{ Params: { air: string; index: string } }>(
    '/models/:air/examples/:index',
    async (request, reply) => {
      const { air, index } = request.params;
      const image = models.find(air)?.examples[Number(index)]?.image;
      if (image === undefined || !existsSync(image)) {
        throw apiError(
          'mediaNotFound',
          `The model ${air.slice(0, 60)} has no picture ${index.slice(0, 20)}.`,
        );
      }
      return reply
        .headers({ 'cache-control': 'max-age=3600', 'cross-origin-resource-policy': 'cross-origin' })
        .header('x-content-type-options', 'nosniff')
        .type(types[extname(image)] ?? 'image/jpeg')
        .send(await readFile(image));
    },
  );
};

/** Not encapsulated: the route of `/` is the WebSocket's. */
export const playground = Object.assign(plugin, { [Symbol.for('skip-override')]: true });

/** Reads all pages into memory: they are small, and an unknown address can reach no file. */
async function readFiles(folder: string): Promise<Map<string, File>> {
  const files = new Map<string, File>();
  if (!existsSync(folder)) return files;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const type = types[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = await readFile(path);
    const brotli = existsSync(`${path}.br`) ? await readFile(`${path}.br`) : undefined;
    const tag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
    files.set(path.slice(folder.length + 1).replaceAll('\\', '/'), { type, bytes, brotli, tag });
  }
  return files;
}

/** Files whose names contain a hash of their content. */
function serve(server: FastifyInstance, url: string, file: File): void {
  server.get(url, (request, reply) => {
    reply.headers({
      'cache-control': 'public, max-age=31536000, immutable',
      'x-content-type-options': 'nosniff',
    });
    return send(request, reply, file);
  });
}

function sendPage(reply: FastifyReply, file: File | undefined): FastifyReply {
  if (!file) return reply.code(503).type('text/plain; charset=utf-8').send(missing);
  reply.headers({
    'cache-control': 'no-cache',
    'content-security-policy': policy,
    'cross-origin-opener-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
  });
  return send(reply.request, reply, file);
}

function send(request: FastifyRequest, reply: FastifyReply, file: File): FastifyReply {
  reply.headers({ etag: file.tag, vary: 'accept-encoding' });
  if (request.headers['if-none-match'] === file.tag) return reply.code(304).send();
  reply.type(file.type);
  const takesBrotli = /\bbr\b/.test(String(request.headers['accept-encoding'] ?? ''));
  if (!file.brotli || !takesBrotli) return reply.send(file.bytes);
  return reply.header('content-encoding', 'br').send(file.brotli);
}
