/** Starts and stops a server. */

import type { FastifyInstance } from 'fastify';
import { type Config, requireKeys } from '../config.ts';
import type { LocalEnginesOptions } from '../engine/process/local-engines.ts';
import { createLog, type Log } from '../log.ts';
import { lockFolder } from '../store/db.ts';
import { type Assembly, assemble } from './assemble.ts';
import { openEngines, scanModels } from './engines.ts';
import { openBucket } from './open-assets.ts';
import { createServer, listen } from './server.ts';

/** Milliseconds in which interrupted work may still be answered. */
const answerTime = 500;

export type RunningServer = {
  /** The server's address, such as `http://127.0.0.1:7100`. */
  url: string;
  log: Log;
  /** Resolves when the running work has ended, at most `shutdownTimeout` seconds later. */
  close(): Promise<void>;
};

export type StartOptions = {
  /** Replaces the engines of the configuration. */
  engine?: Partial<LocalEnginesOptions>;
  /** Adds routes before the server listens; they may use its parts. */
  extend?: (server: FastifyInstance, parts: Assembly, log: Log) => unknown;
};

/**
 * A server that listens once this resolves. It installs no signal handlers and prints nothing but its log on stderr.
 *
 * @param config made by `loadConfig`
 * @throws RetouchError `keysRequired`, `listenFailed`, `dataDirectoryUnusable`, `dataDirectoryInUse`, `redisUnreachable`,
 *   `redisRefused`, `storageUnreachable`, `storageRefused`
 */
export async function startServer(config: Config, options: StartOptions = {}): Promise<RunningServer> {
  const log = createLog(config.logLevel);
  // An error closes all that was opened before it, so that the caller may try with another configuration.
  await using opened = new AsyncDisposableStack();
  const lock = opened.adopt(lockFolder(config.dataDir), (lock) => lock.release());
  const [models, bucket] = [await scanModels(config), await openBucket(config)];
  const replaced = options.engine;
  const engines = opened.adopt(await openEngines({ config, log, models, bucket, replaced }), (engines) =>
    engines.close(),
  );
  const assembly = await assemble({ config, log, lock, engines, models, bucket });
  const parts = opened.adopt(assembly, (parts) => parts.close());
  const { service, queue, outbox, keys } = parts;
  requireKeys(config, keys.list().length);
  const server = createServer({ ...parts, config, log });
  options.extend?.(server, parts, log);
  const { url, close: stopListening } = await listen(server, config);
  opened.defer(stopListening);
  await parts.start();
  opened.move();
  const close = async () => {
    queue.announceEnd();
    // New requests are refused at once. Running work may finish within the time limit; the rest waits for the next
    // start.
    const deadline = performance.now() + config.shutdownTimeout * 1000;
    const timeUp = setTimeout(() => {
      service.close();
      // Connections still open now wait for a slow client or for an image that will not be made.
      setTimeout(() => server.server.closeAllConnections(), answerTime);
    }, config.shutdownTimeout * 1000);
    await stopListening();
    clearTimeout(timeUp);
    service.close();
    const grace = Math.max(0, deadline - performance.now());
    const working = queue.close(grace);
    // A step may take longer than the operator wants to wait.
    const killing = setTimeout(() => void engines.close(), grace + answerTime);
    await working;
    await outbox.close();
    clearTimeout(killing);
    await engines.close();
    parts.close();
  };
  return { url, log, close };
}
