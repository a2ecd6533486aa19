/** `retouch serve`: puts the parts together, listens, and ends cleanly when told to. */

import { type Config, requireKeys } from '../../config.ts';
import { EngineHost, type EngineHostOptions } from '../../engine/process/host.ts';
import { createLog, type Log } from '../../log.ts';
import { mcpHttp } from '../../mcp/http.ts';
import { assemble } from '../../server/assemble.ts';
import { createServer, listen } from '../../server/server.ts';
import { readVersion } from '../../version.ts';

/** Milliseconds in which stopped work may still be answered. */
const answerTime = 500;

export type RunningServer = { url: string; close(): Promise<void> };

/** Listening once it resolves. Throws `keysRequired`, `listenFailed` and what the data directory says of itself. Tests give another `engine`. */
export async function serve(config: Config, engine: EngineHostOptions = {}): Promise<RunningServer> {
  const log = createLog(config.logLevel);
  const host = new EngineHost({ ...engineOptions(config, log), ...engine });
  const parts = await assemble({ config, log, engine: host });
  const { service, queue, outbox, keys } = parts;
  requireKeys(config, keys.list().length);
  const server = createServer({ ...parts, config, log });
  const info = { name: 'retouch', version: await readVersion() };
  server.register(mcpHttp, { desk: parts, config, keys, info, log });
  const url = await listen(server, config);
  await parts.start();
  const close = async () => {
    // New requests are refused at once; what is under way may end until the time is up, and waits for the next start then.
    const deadline = performance.now() + config.shutdownTimeout * 1000;
    const timeUp = setTimeout(() => {
      service.close();
      // What is still open waits for a client that sends slowly or for a picture that does not come.
      setTimeout(() => server.server.closeAllConnections(), answerTime);
    }, config.shutdownTimeout * 1000);
    await server.close();
    clearTimeout(timeUp);
    service.close();
    const grace = Math.max(0, deadline - performance.now());
    const working = queue.close(grace);
    // A step may take longer than anyone wants to wait.
    const killing = setTimeout(() => void host.close(), grace + answerTime);
    await working;
    await outbox.close();
    clearTimeout(killing);
    await host.close();
    parts.close();
  };
  closeOnSignal(close, log);
  process.stdout.write(`Retouch listening on ${url}\n`);
  return { url, close };
}

function engineOptions({ threads, memoryLimit }: Config, log: Log): EngineHostOptions {
  return {
    log: (line) => log.warn(line),
    ...(threads > 0 ? { threads } : {}),
    ...(memoryLimit > 0 ? { memoryLimit } : {}),
  };
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
}
