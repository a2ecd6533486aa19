/** The parts of a server, put together over one data directory. */

import { join } from 'node:path';
import type { Config } from '../config.ts';
import type { Log } from '../log.ts';
import { Metrics } from '../metrics.ts';
import { createSqliteQueue } from '../queue/sqlite.ts';
import { FileAssetStore } from '../store/assets-fs.ts';
import { Database, lockFolder } from '../store/db.ts';
import { DeliveryStore } from '../store/deliveries.ts';
import { InputStore } from '../store/inputs.ts';
import { KeyStore } from '../store/keys.ts';
import { Lifetimes } from '../store/lifetimes.ts';
import { ModelStore } from '../store/models.ts';
import { SessionResults } from '../store/session-results.ts';
import { TaskStore } from '../store/tasks.ts';
import { UsageStore } from '../store/usage.ts';
import { Outbox } from '../tasks/deliveries/outbox.ts';
import { Pace } from '../tasks/metrics/pace.ts';
import { measureEngine, TaskMetrics } from '../tasks/metrics/task-metrics.ts';
import type { ImageEngine } from '../tasks/run-plan.ts';
import { TaskService } from '../tasks/service.ts';

export type PartsOptions = {
  config: Config;
  log: Log;
  engine: ImageEngine;
  /** The model that comes with the package, where it is not the package's own. */
  embedded?: string;
};

export type Parts = Awaited<ReturnType<typeof openParts>>;

/** Throws `dataDirectoryUnusable`, `dataDirectoryInUse` and what the database says of itself. */
export async function openParts({ config, log, engine: bare, embedded }: PartsOptions) {
  const { dataDir } = config;
  const lock = lockFolder(dataDir);
  const db = Database.open(join(dataDir, 'retouch.db'));
  const keys = new KeyStore(db);
  const metrics = new Metrics();
  const taskMetrics = new TaskMetrics(metrics);
  const pace = new Pace();
  const engine = measureEngine(bare, taskMetrics, pace);
  const assets = await FileAssetStore.open(join(dataDir, 'images'), new Lifetimes(db));
  const models = await ModelStore.scan({
    models: config.modelsDir,
    cache: join(dataDir, 'cache'),
    aliases: config.alias,
    ...(embedded === undefined ? {} : { embedded }),
  });
  for (const problem of models.problems) log.warn(problem);
  const queue = createSqliteQueue(db, {
    limit: config.queueLimit,
    onPause: (error, milliseconds) =>
      log.error('The queue waits: the end of an image cannot be written down.', { error, milliseconds }),
  });
  const milliseconds = config.fetchTimeout * 1000;
  const deliveries = new DeliveryStore(db);
  const outbox = new Outbox({
    deliveries,
    maxAttempts: config.deliveryAttempts,
    onEnd: (delivery, error) => service.endDelivery(delivery, error),
    log,
  });
  const service: TaskService = new TaskService({
    tasks: new TaskStore(db),
    sessionResults: new SessionResults(db),
    usage: new UsageStore(db),
    keys,
    metrics: taskMetrics,
    pace,
    inputs: new InputStore(join(dataDir, 'inputs')),
    assets,
    models,
    queue,
    deliveries,
    outbox,
    webhook: { body: config.webhookBody, secret: config.webhookSecret },
    retention: config.retention * 86_400_000,
    engine,
    log,
    fetch: {
      allowPrivate: config.allowPrivateNetwork,
      totalMilliseconds: milliseconds,
      connectMilliseconds: Math.min(milliseconds, 5000),
      maxRedirects: 5,
    },
    arithmetic: {
      device: config.device,
      precision: config.precision,
      referenceIds: config.referenceIds,
    },
    maxTasks: config.batchLimit,
    keyLimit: config.keyLimit,
    maxPictureBytes: config.pictureLimit,
    maxPixels: config.pixelLimit,
    syncTimeout: config.syncTimeout * 1000,
  });
  const close = () => {
    db.close();
    lock.release();
  };
  return { assets, models, keys, metrics, engine, queue, outbox, service, close };
}
