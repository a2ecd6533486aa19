/** `retouch serve`: puts the parts together, listens, and ends cleanly when told to. */

import { join } from 'node:path';
import { type Config, requireKeys } from '../config.ts';
import { EngineHost, type EngineHostOptions } from '../engine/host.ts';
import type { EncodedImage } from '../engine/plan.ts';
import { createLog, type Log } from '../log.ts';
import { Metrics } from '../metrics.ts';
import { MemoryQueue } from '../queue/memory.ts';
import { createServer, listen } from '../server/server.ts';
import { FileAssetStore } from '../store/assets-fs.ts';
import { Database } from '../store/db.ts';
import { KeyStore } from '../store/keys.ts';
import { ModelStore } from '../store/models.ts';
import { type Job, runJob } from '../tasks/engine.ts';
import { TaskService } from '../tasks/service.ts';
import { measureEngine, TaskMetrics } from '../tasks/task-metrics.ts';

/** Milliseconds in which stopped work may still be answered. */
const answerTime = 500;

export type RunningServer = { url: string; close(): Promise<void> };

/** Listening once it resolves. Throws `dataDirectoryUnusable`, `keysRequired`, `listenFailed`. */
export async function serve(config: Config): Promise<RunningServer> {
  const log = createLog(config.logLevel);
  const db = Database.open(join(config.dataDir, 'retouch.db'));
  const keys = new KeyStore(db);
  requireKeys(config, keys.list().length);
  const assets = await FileAssetStore.open(join(config.dataDir, 'images'));
  const models = await ModelStore.scan({
    models: config.modelsDir,
    cache: join(config.dataDir, 'cache'),
    aliases: config.alias,
  });
  for (const problem of models.problems) log.warn(problem);
  const metrics = new Metrics();
  const host = new EngineHost(engineOptions(config, log));
  const engine = measureEngine(host, new TaskMetrics(metrics));
  const queue = new MemoryQueue(
    (job: Job, signal): Promise<EncodedImage> => runJob(engine, job, signal),
    config.queueLimit,
  );
  const milliseconds = config.fetchTimeout * 1000;
  const service = new TaskService({
    assets,
    models,
    queue,
    log,
    fetch: {
      allowPrivate: config.allowPrivateNetwork,
      totalMilliseconds: milliseconds,
      connectMilliseconds: Math.min(milliseconds, 5000),
      maxRedirects: 5,
    },
    arithmetic: { device: config.device, precision: config.precision },
    maxTasks: config.batchLimit,
  });
  const server = createServer({ config, service, assets, models, keys, metrics, engine, queue, log });
  const url = await listen(server, config);
  const close = async () => {
    // New requests are refused at once; those under way may end until the time is up.
    const stopWork = () => Promise.all([queue.close(), host.close()]);
    const timeUp = setTimeout(async () => {
      await stopWork();
      // What is still open waits for a client that sends slowly or for a picture that does not come.
      setTimeout(() => server.server.closeAllConnections(), answerTime);
    }, config.shutdownTimeout * 1000);
    await server.close();
    clearTimeout(timeUp);
    await stopWork();
    db.close();
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
