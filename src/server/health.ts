/** `GET /health`: that the server answers, and what its engine does. */

import type { FastifyPluginAsync } from 'fastify';
import type { Queue } from '../queue/queue.ts';
import type { ImageEngine } from '../tasks/engine.ts';

export type HealthOptions = { engine: ImageEngine; queue: Pick<Queue<never, never>, 'depth'> };

export const health: FastifyPluginAsync<HealthOptions> = async (server, { engine, queue }) => {
  server.get('/health', async () => {
    const { state, restarts } = engine.status;
    return { status: 'ok', engine: { state, restarts }, queue: { depth: queue.depth } };
  });
};
