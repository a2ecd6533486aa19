/** `retouch serve`: starts a server, says its address, and ends it cleanly when told to. */

import type { Config } from '../../config.ts';
import type { EngineHostOptions } from '../../engine/process/host.ts';
import type { Log } from '../../log.ts';
import { mcpHttp } from '../../mcp/http.ts';
import { type RunningServer, startServer } from '../../server/start.ts';
import { readVersion } from '../../version.ts';

/** Tests give another `engine`. Throws what `startServer` throws. */
export async function serve(config: Config, engine: EngineHostOptions = {}): Promise<RunningServer> {
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

/** The first signal ends the server with status 0 when its work is done, a second one at once. */
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
  // Says that the terminal or the parent is gone, perhaps after a signal that is being obeyed: it hurries nobody.
  process.on('SIGHUP', (signal) => closing || stop(signal));
}
