/** The composition root: creates the parts of a server over one data directory. */

import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { type Config, engineOptions } from '../config.ts';
import type { EnginePool } from '../engine/engine.ts';
import { ImageDecoder } from '../engine/image/decoder.ts';
import { defaultThreads } from '../engine/process/limits.ts';
import type { Log } from '../log.ts';
import { Metrics } from '../metrics.ts';
import { createSqliteQueue } from '../queue/sqlite.ts';
import type { Bucket } from '../store/bucket.ts';
import { Clock, type TimeSource } from '../store/clock.ts';
import { Database, type FolderLock } from '../store/db.ts';
import { DeliveryStore } from '../store/deliveries.ts';
import { InputStore } from '../store/inputs.ts';
import { KeyStore } from '../store/keys.ts';
import { Lifetimes } from '../store/lifetimes.ts';
import type { ModelStore } from '../store/models.ts';
import { SessionResults } from '../store/session-results.ts';
import { StorageProbe } from '../store/storage-probe.ts';
import { TaskStore } from '../store/tasks.ts';
import { UsageStore } from '../store/usage.ts';
import { Acceptance } from '../tasks/accept/acceptance.ts';
import { restoreTasks } from '../tasks/accept/restore.ts';
import { Outbox } from '../tasks/deliveries/outbox.ts';
import { createSend } from '../tasks/deliveries/send.ts';
import { Failures } from '../tasks/failures.ts';
import { type Forecaster, Forecasts, noForecasts } from '../tasks/forecast/forecasts.ts';
import { Pace } from '../tasks/metrics/pace.ts';
import { TaskMetrics } from '../tasks/metrics/task-metrics.ts';
import { PrivatePaths } from '../tasks/private-paths.ts';
import { Expiry } from '../tasks/results/expiry.ts';
import { Resumption } from '../tasks/results/resumption.ts';
import { Settlement } from '../tasks/results/settlement.ts';
import { Tracker } from '../tasks/results/tracker.ts';
import { Worker } from '../tasks/run/worker.ts';
import { TaskService } from '../tasks/service.ts';
import { openAssets } from './open-assets.ts';

export type AssembleOptions = {
  config: Config;
  log: Log;
  /** The data directory's lock; `close()` releases it. A second server must not reach the engines of the first one. */
  lock: FolderLock;
  engines: EnginePool;
  models: ModelStore;
  /** Where images are stored; in the data directory without one. */
  bucket: Bucket | undefined;
  /** Tests know the speed of their machine. */
  forecasts?: Forecaster;
  /** The wall clock; tests replace it. */
  time?: TimeSource;
};

/** A server without its transports: `start()` starts the queue, `close()` releases the data directory. */
export type Assembly = Awaited<ReturnType<typeof assemble>>;

/** Throws `dataDirectoryUnusable` and the errors of the database. */
export async function assemble(options: AssembleOptions) {
  const { config, log, lock, engines, models, bucket, time } = options;
  const { dataDir } = config;
  const forecasts = options.forecasts ?? createForecasts(config);
  const db = Database.open(join(dataDir, 'retouch.db'));
  const clock = new Clock(db, time);
  const tasks = new TaskStore(db, clock);
  const deliveries = new DeliveryStore(db, clock);
  const lifetimes = new Lifetimes(db, clock);
  const usage = new UsageStore(db);
  const keys = new KeyStore(db);
  const inputs = new InputStore(join(dataDir, 'inputs'));
  const assets = await openAssets({ config, lifetimes, bucket });
  for (const problem of models.problems) log.warn(problem);

  const failures = new Failures(new PrivatePaths(() => foldersOf(config, models)), log);
  const metrics = new Metrics();
  const pace = new Pace(() => engines.capacity);
  const taskMetrics = new TaskMetrics(metrics, pace);
  const tracker = new Tracker();
  const queue = createSqliteQueue(db, {
    limit: config.queueLimit,
    width: () => engines.capacity,
    widthFor: (needs) => engines.capacityFor(needs),
    onPause: (error, milliseconds) =>
      log.error('The queue waits: the end of an image cannot be written down.', { error, milliseconds }),
    onRest: (interruptions, milliseconds) =>
      log.warn('An image rests before it is tried again: the server ended while it was made.', {
        interruptions,
        milliseconds,
      }),
  });
  engines.onGrowth(() => queue.wake());
  const outbox = new Outbox({ deliveries, maxAttempts: config.deliveryAttempts, log });
  const settlement = new Settlement({
    ...{ tasks, inputs, deliveries, outbox, tracker, failures, log },
    metrics: taskMetrics,
  });
  const worker = new Worker({
    ...{ engines, tasks, inputs, assets, usage, settlement, tracker, forecasts, failures, log },
    metrics: taskMetrics,
  });
  const quota = config.keyStorage === 0 ? undefined : config.keyStorage;
  const acceptance = new Acceptance({
    ...{ tasks, inputs, queue, usage, models, lifetimes, quota, engines },
    keyLimit: config.keyLimit,
  });
  const fetch = fetchLimits(config);
  const decoder = new ImageDecoder();
  const sources = {
    ...{ assets, fetch, decoder },
    ...{ maxImageBytes: config.pictureLimit, maxPixels: config.pixelLimit },
    ...(quota === undefined ? {} : { quota }),
  };
  const waiting = { tasks, assets, tracker, syncTimeout: config.syncTimeout * 1000 };
  const service = new TaskService({
    uses: {
      ...{ ...waiting, models, keys, usage, queue, settlement, acceptance, engines, forecasts, log },
      sources,
      arithmetic: {
        device: config.device,
        precision: config.precision,
        referenceIds: config.referenceIds,
      },
    },
    resumption: new Resumption({ results: new SessionResults(db), waiting, failures, log }),
    ...{ metrics: taskMetrics, pace, maxTasks: config.batchLimit, failures },
  });
  const webhook = { body: config.webhookBody, secret: config.webhookSecret };
  const send = createSend({ tasks, assets, fetch, webhook });
  const disk = new StorageProbe(config.s3Bucket === '' ? join(dataDir, 'images') : dataDir, clock);
  const storage = { problem: async () => (await disk.problem()) ?? (await assets.problem?.()) };
  const expiry = new Expiry({ clock, tasks, assets, retention: config.retention * 86_400_000, log });

  const start = async () => {
    await restoreTasks({ tasks, inputs, queue, log });
    queue.start(worker.work);
    outbox.start({ send, onEnd: (delivery, error) => settlement.deliveryEnded(delivery, error) });
    await expiry.start();
  };
  const close = () => {
    expiry.close();
    decoder.close();
    try {
      clock.save();
    } catch (error) {
      log.warn('The clock of expiries could not be saved; the time since the last sweep is not counted.', {
        error,
      });
    }
    db.close();
    lock.release();
  };
  return {
    assets,
    lifetimes,
    sources,
    models,
    keys,
    metrics,
    engines,
    queue,
    outbox,
    storage,
    service,
    start,
    close,
  };
}

/** Folders and files whose paths the messages of the engine and the stores may hold. */
function foldersOf({ dataDir, modelsDir }: Config, { models, adapters }: ModelStore): string[] {
  const installed = [...models.map(({ source }) => source.files), ...adapters.map(({ files }) => files)];
  const files = installed.flatMap((each) => Object.values(each)).filter((each) => isAbsolute(each));
  const folders = [...models, ...adapters].map(({ folder }) => folder);
  // A user may have no home directory (config.ts says so where it is needed).
  const home = process.env.HOME ?? process.env.USERPROFILE ?? '';
  return [dataDir, modelsDir, ...folders, ...files, process.cwd(), home, tmpdir(), process.execPath];
}

function fetchLimits({ fetchTimeout, allowPrivateNetwork }: Config) {
  const totalMilliseconds = fetchTimeout * 1000;
  return {
    allowPrivate: allowPrivateNetwork,
    totalMilliseconds,
    connectMilliseconds: Math.min(totalMilliseconds, 5000),
    maxRedirects: 5,
  };
}

/** This machine's speed says nothing of the workers'. */
function createForecasts(config: Config): Forecaster {
  if (config.redis !== '') return noForecasts;
  const engines = engineOptions(config).devices.length;
  const threads = config.threads || defaultThreads();
  return new Forecasts({ threads: Math.max(1, Math.floor(threads / engines)) });
}
