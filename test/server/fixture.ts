import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { stringifyJson } from '../../src/api/json.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import type { EnginePool, PooledEngine } from '../../src/engine/engine.ts';
import { encodeImage } from '../../src/engine/image/image-codec.ts';
import type { EngineEvent, Plan } from '../../src/engine/plan.ts';
import type { EngineWarning } from '../../src/engine/warnings.ts';
import { Catalog } from '../../src/fleet/catalog.ts';
import { createLog } from '../../src/log.ts';
import { assemble } from '../../src/server/assemble.ts';
import type { ConnectionTimes } from '../../src/server/connection.ts';
import { scanModels } from '../../src/server/engines.ts';
import { createServer } from '../../src/server/server.ts';
import type { AssetStore } from '../../src/store/assets.ts';
import { lockFolder } from '../../src/store/db.ts';
import type { KeyStore } from '../../src/store/keys.ts';
import type { ModelStore } from '../../src/store/models.ts';
import type { Forecaster } from '../../src/tasks/forecast/forecasts.ts';
import type { Sources } from '../../src/tasks/inputs/image-source.ts';
import type { TaskService } from '../../src/tasks/service.ts';
import { type Fleet, openTestFleet } from '../fixtures/fleet.ts';

export const taskUUID = '50836053-a0ee-4cf5-b9d6-ae7c5d140ada';
export const task = {
  taskType: 'imageInference',
  taskUUID,
  model: 'retouch:mini@1',
  positivePrompt: 'make the sky pink',
};

/** An engine whose image is its seed in text, unless a test scripts it. */
export class FakeEngine implements EnginePool {
  readonly plans: Plan[] = [];
  readonly capacity = 1;
  readonly engines: PooledEngine[] = [{ name: 'cpu:0', device: 'cpu', state: 'ready', pid: 1, restarts: 0 }];
  problem: string | undefined;
  onGrowth(): void {}

  refusal(_plan: Plan): string | undefined {
    return undefined;
  }

  needsOf(_plan: Plan): string {
    return '';
  }

  capacityFor(_needs: string): number {
    return this.capacity;
  }

  async close(): Promise<void> {}

  script: (plan: Plan, signal: AbortSignal) => Promise<void> = async () => {};
  /** Warnings of a run. */
  warnings: EngineWarning[] = [];
  steps: (plan: Plan) => AsyncIterable<{ index: number; steps: number }> = async function* ({ steps }) {
    yield { index: steps - 1, steps };
  };

  async *run(plan: Plan, signal = new AbortController().signal): AsyncGenerator<EngineEvent> {
    this.plans.push(plan);
    await this.script(plan, signal);
    for (const warning of this.warnings) yield { type: 'warning', ...warning };
    for await (const step of this.steps(plan)) yield { type: 'step-end', ...step, sigma: 1, milliseconds: 1 };
    const bytes = Buffer.from(`seed ${plan.seed}`);
    const { width, height, output } = plan;
    yield { type: 'image', image: { bytes, format: output.format, width, height }, milliseconds: 1 };
  }
}

export type BenchParts = { times?: ConnectionTimes; forecasts?: Forecaster };

export type Bench = {
  server: FastifyInstance;
  engine: FakeEngine;
  assets: AssetStore;
  keys: KeyStore;
  service: TaskService;
  sources: Sources;
  logged: string[];
  /** Posts tasks; JSON of the answer. */
  post(
    tasks: unknown,
    headers?: Record<string, string>,
  ): Promise<{ status: number; body: Answer; text: string }>;
  close(): Promise<void>;
};

export type Answer = {
  data: Record<string, unknown>[];
  errors?: Record<string, unknown>[];
  error?: Record<string, unknown>;
};

export async function createBench(
  flags: Record<string, string> = {},
  parts: BenchParts = {},
): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), 'retouch-server-'));
  const bench = await openBench(folder, flags, parts);
  return {
    ...bench,
    async close() {
      await bench.close();
      await rm(folder, { recursive: true });
    },
  };
}

export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'retouch-test-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

/** Over a data directory that stays. */
export async function openBench(
  folder: string,
  flags: Record<string, string> = {},
  { times, forecasts }: BenchParts = {},
): Promise<Bench> {
  const config: Config = loadConfig({ env: {}, flags: { 'data-dir': folder, ...flags } });
  const logged: string[] = [];
  const log = createLog('info', (line) => logged.push(line));
  const engine = new FakeEngine();
  const models = await scanModels(config, await installModel(join(folder, 'embedded')));
  const fleet = await openFleetOver(engine, models);
  const engines = fleet?.front ?? engine;
  const parts = await assemble({
    config,
    log,
    lock: lockFolder(config.dataDir),
    engines,
    models,
    bucket: undefined,
    ...(forecasts && { forecasts }),
  });
  const server = createServer({ ...parts, config, log, ...(times && { times }) });
  await parts.start();
  return {
    server,
    engine,
    assets: parts.assets,
    keys: parts.keys,
    service: parts.service,
    sources: parts.sources,
    logged,
    async post(tasks, headers = {}) {
      const payload = typeof tasks === 'string' || Buffer.isBuffer(tasks) ? tasks : stringifyJson(tasks);
      const response = await server.inject({
        method: 'POST',
        url: '/v1',
        payload,
        headers: { 'content-type': 'application/json', ...headers },
      });
      return { status: response.statusCode, body: response.json(), text: response.body };
    },
    async close() {
      parts.service.close();
      await server.close();
      await parts.queue.close();
      await parts.outbox.close();
      await fleet?.close();
      parts.close();
    },
  };
}

/** With `TEST_FLEET`, the address of a Redis, the engine is a worker's, and plans and images go through Redis. */
async function openFleetOver(engine: EnginePool, models: ModelStore): Promise<Fleet | undefined> {
  const redis = process.env.TEST_FLEET;
  if (redis === undefined) return undefined;
  return openTestFleet(redis, { workers: [engine], catalog: await Catalog.of(models), lease: 15_000 });
}

async function installModel(folder: string): Promise<string> {
  const manifest = {
    air: 'retouch:mini@1',
    name: 'Retouch mini',
    architecture: 'flux-kontext',
    files: '.',
    defaults: { steps: 28, guidance: 2.5 },
    price: { perImage: 0.01 },
    license: 'Apache-2.0',
  };
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
  return folder;
}

export async function drawPicture(
  width: number,
  height: number,
  format: 'png' | 'jpg' | 'webp' = 'png',
): Promise<Buffer> {
  const bitmap = { width, height, data: new Uint8Array(width * height * 3).fill(120) };
  return Buffer.from((await encodeImage(bitmap, format, 90)).bytes);
}
