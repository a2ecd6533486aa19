/** `retouch serve`: starts a server, prints its address, and stops it cleanly on a signal. */

import type { Config } from '../../config.ts';
import type { LocalEnginesOptions } from '../../engine/process/local-engines.ts';
import { mcpHttp } from '../../mcp/http.ts';
import { type RunningServer, startServer } from '../../server/start.ts';
import { readVersion } from '../../version.ts';
import { closeOnSignal } from '../terminal/close-on-signal.ts';

/** Tests pass another `engine`. Throws the errors of `startServer`. */
export async function serve(
  config: Config,
  engine: Partial<LocalEnginesOptions> = {},
): Promise<RunningServer> {
  const info = { name: 'retouch', version: await readVersion() };
  const server = await startServer(config, {
    engine,
    extend: (fastify, parts, log) =>
      fastify.register(mcpHttp, { desk: parts, config, keys: parts.keys, info, log }),
  });
  closeOnSignal(server.close, server.log);
  process.stdout.write(`Retouch listening on ${server.url}\n`);
  return server;
}
