/** Entry of a process for `bench http`: the server with an engine that takes no time. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../src/config.ts';
import type { EnginePool } from '../src/engine/engine.ts';
import type { EngineEvent, Plan } from '../src/engine/plan.ts';
import { createLog } from '../src/log.ts';
import { assemble } from '../src/server/assemble.ts';
import { scanModels } from '../src/server/engines.ts';
import { createServer, listen } from '../src/server/server.ts';
import { lockFolder } from '../src/store/db.ts';
import { picture } from './http-picture.ts';

const folder = process.env.RETOUCH_BENCH_DIR ?? mkdtempSync(join(tmpdir(), 'retouch-bench-http-'));
mkdirSync(folder, { recursive: true });

const { bytes } = await picture();
/** With one engine an image is stored before the next is made; with more, those of two for each are under way. */
const count = Number(process.env.RETOUCH_BENCH_ENGINES ?? 1);

const engines: EnginePool = {
  capacity: count,
  engines: [],
  problem: undefined,
  refusal: () => undefined,
  needsOf: () => '',
  capacityFor: () => count,
  onGrowth() {},
  async close() {},
  async *run({ width, height, output }: Plan): AsyncGenerator<EngineEvent> {
    yield { type: 'image', image: { bytes, format: output.format, width, height }, milliseconds: 0 };
  },
};

const config = loadConfig({
  env: {},
  flags: { 'data-dir': folder, port: '0', 'log-level': 'error', 'queue-limit': '20000' },
});
const log = createLog(config.logLevel);
const lock = lockFolder(config.dataDir);
const models = await scanModels(config);
const parts = await assemble({ config, log, lock, engines, models, bucket: undefined });
const server = createServer({ ...parts, config, log });
await parts.start();
const { url, close: stopListening } = await listen(server, config);
process.send!({ url });

process.on('message', async (message) => {
  if (message === 'idle') {
    await parts.queue.idle();
    process.send!(message);
  } else {
    globalThis.gc?.();
    process.send!(process.memoryUsage());
  }
});

process.on('disconnect', async () => {
  parts.service.close();
  await stopListening();
  await parts.queue.close();
  parts.close();
  rmSync(folder, { recursive: true, force: true });
});
