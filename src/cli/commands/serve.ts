/** `retouch serve`: starts a server, prints its address, and stops it cleanly on a signal. */

import type { Config } from '../../config.ts';
import type { LocalEnginesOptions } from '../../engine/process/local-engines.ts';
import type { Log } from '../../log.ts';
import { mcpHttp } from '../../mcp/http.ts';
import { type RunningServer, startServer } from '../../server/start.ts';
import { readVersion } from '../../version.ts';

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

/** The first signal drains the server and exits with status 0; a second one exits at once. */
function closeOnSignal(close: () => Promise<void>, log: Log): void {
  let closing = false;
  const stop = (signal: NodeJS.Signals) => {
    if (closing) process.exit(1);
    closing = true;
    log.info(`${signal}: finishing what is under way.`);
    close().then(
      () => process.exit(0),
      (error) => {
        log.error('The server did not end cleanly.', { error });
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // SIGHUP means that the terminal or the parent is gone, often after another signal: it does not count as the second.
  process.on('SIGHUP', (signal) => closing || stop(signal));
}
