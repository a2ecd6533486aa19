/**
 * For those who run the server: `GET /health` says that it answers and what its engine does, `GET /ready` whether it
 * takes tasks, `GET /metrics` its figures.
 */

import { freemem, totalmem } from 'node:os';
import type { FastifyPluginAsync } from 'fastify';
import { failure } from '../api/errors.ts';
import type { Config } from '../config.ts';
import { defaultMemoryLimit } from '../engine/process/limits.ts';
import type { Metrics } from '../metrics.ts';
import type { Queue } from '../queue/queue.ts';
import type { ModelStore } from '../store/models.ts';
import type { StorageProbe } from '../store/storage-probe.ts';
import type { ImageEngine } from '../tasks/run/make-image.ts';
import { answer } from './answer.ts';
import type { Gate } from './auth.ts';

export type HealthOptions = {
  config: Config;
  engine: ImageEngine;
  queue: Pick<Queue, 'depth'>;
  storage: Pick<StorageProbe, 'problem'>;
  models: ModelStore;
  metrics: Metrics;
  gate: Gate;
};

export const health: FastifyPluginAsync<HealthOptions> = async (server, options) => {
  const { config, engine, queue, models, metrics, gate } = options;
  addGauges(metrics, engine, queue);

  server.get('/health', async () => {
    const { state, restarts } = engine.status;
    return {
      status: 'ok',
      uptime: Math.floor(process.uptime()),
      engine: { state, restarts, device: config.device, precision: config.precision },
      queue: { depth: queue.depth, limit: config.queueLimit },
      memory: { limit: config.memoryLimit || defaultMemoryLimit(), total: totalmem(), free: freemem() },
      models: models.models.map(({ air }) => air),
      adapters: models.adapters.map(({ air }) => air),
    };
  });

  // Once it closes, Fastify itself answers 503.
  server.get('/ready', async (_request, reply) => {
    const reason = unreadiness(options) ?? (await options.storage.problem());
    if (reason === undefined) return { status: 'ready' };
    return answer(reply, [{ failure: failure('serverUnavailable', reason) }]);
  });

  // Usage figures are confidential to the operator.
  server.get(
    '/metrics',
    { onRequest: async (request) => void gate.requireKey(request) },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.format()),
  );
};

function unreadiness({ engine, queue, config, models }: HealthOptions): string | undefined {
  if (models.models.length === 0) return 'No model is installed.';
  if (engine.status.state === 'backing-off') return 'The engine crashed and is about to be started again.';
  if (engine.status.stalled !== undefined) return engine.status.stalled;
  if (queue.depth >= config.queueLimit) return `The queue has ${queue.depth} images, as many as it takes.`;
  return undefined;
}

function addGauges(metrics: Metrics, engine: ImageEngine, queue: HealthOptions['queue']): void {
  metrics.gauge(
    { name: 'retouch_queue_depth', help: 'Images that wait or are being made.' },
    () => queue.depth,
  );
  metrics.derivedCounter(
    { name: 'retouch_engine_restarts_total', help: "Restarts of the engine's process." },
    () => engine.status.restarts,
  );
  metrics.gauge({ name: 'retouch_engine_busy', help: 'Whether an image is being made.' }, () =>
    engine.status.state === 'busy' ? 1 : 0,
  );
  metrics.watchProcess();
}
