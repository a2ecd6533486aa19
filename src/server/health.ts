/**
 * Monitoring: `GET /health` (the server answers; state of its engines), `GET /ready` (whether it takes tasks), `GET
 * /metrics`.
 */

import { freemem, totalmem } from 'node:os';
import type { FastifyPluginAsync } from 'fastify';
import { failure } from '../api/errors.ts';
import type { Config } from '../config.ts';
import type { EnginePool, EngineStatus, PooledEngine } from '../engine/engine.ts';
import { defaultMemoryLimit } from '../engine/process/limits.ts';
import type { Metrics } from '../metrics.ts';
import type { Queue } from '../queue/queue.ts';
import type { ModelStore } from '../store/models.ts';
import type { StorageProbe } from '../store/storage-probe.ts';
import { answer } from './answer.ts';
import type { Gate } from './auth.ts';

export type HealthOptions = {
  config: Config;
  engines: Pick<EnginePool, 'engines' | 'capacity' | 'problem'>;
  queue: Pick<Queue, 'depth'>;
  storage: Pick<StorageProbe, 'problem'>;
  models: ModelStore;
  metrics: Metrics;
  gate: Gate;
};

export const health: FastifyPluginAsync<HealthOptions> = async (server, options) => {
  const { config, engines: pool, queue, models, metrics, gate } = options;
  addGauges(metrics, pool, queue);

  server.get('/health', async () => {
    const { engines } = pool;
    const { device, precision } = config;
    const restarts = engines.reduce((sum, each) => sum + each.restarts, 0);
    return {
      status: 'ok',
      uptime: Math.floor(process.uptime()),
      engine: { state: stateOf(engines), restarts, device, precision },
      // Process ids are useful only on this machine.
      engines: engines.map(({ pid: _, ...engine }) => engine),
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

  // Metrics are confidential to the operator.
  server.get(
    '/metrics',
    { onRequest: async (request) => void gate.requireKey(request) },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.format()),
  );
};

function unreadiness({ engines, queue, config, models }: HealthOptions): string | undefined {
  if (models.models.length === 0) return 'No model is installed.';
  if (engines.problem !== undefined) return engines.problem;
  if (queue.depth >= config.queueLimit) return `The queue has ${queue.depth} images, as many as it takes.`;
  return undefined;
}

/** The state of the engine that does most: one that works says more than one that waits. */
function stateOf(engines: readonly EngineStatus[]): EngineStatus['state'] {
  const order = ['busy', 'starting', 'ready', 'idle', 'backing-off'] as const;
  return order.find((state) => engines.some((engine) => engine.state === state)) ?? 'idle';
}

function addGauges(
  metrics: Metrics,
  pool: Pick<EnginePool, 'engines' | 'capacity' | 'problem'>,
  queue: HealthOptions['queue'],
): void {
  metrics.gauge(
    { name: 'retouch_queue_depth', help: 'Images that wait or are being made.' },
    () => queue.depth,
  );
  metrics.gauge({ name: 'retouch_engines', help: 'Images that can be made at once.' }, () => pool.capacity);
  const byEngine = (value: (engine: PooledEngine) => number) =>
    new Map(pool.engines.map((engine) => [engine.name, value(engine)]));
  metrics.derivedCounter(
    {
      name: 'retouch_engine_restarts_total',
      help: "Restarts of an engine's process.",
      label: 'engine',
    },
    () => byEngine(({ restarts }) => restarts),
  );
  metrics.gauge(
    { name: 'retouch_engine_busy', help: 'Whether an engine is making an image.', label: 'engine' },
    () => byEngine(({ state }) => (state === 'busy' ? 1 : 0)),
  );
  metrics.watchProcess();
}
