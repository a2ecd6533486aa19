/** The short form of `npm run soak -- fleet`. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { hasRedis } from '../fixtures/redis-process.ts';
import { runFleetSoak } from '../soak/fleet.ts';

it.skipIf(!hasRedis).each([true, false])(
  'workers, server and Redis killed and cut off at random lose no accepted task and double none, with a Redis that keeps what it has: %s',
  async (durable) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'retouch-fleet-soak-'));
    try {
      const report = await runFleetSoak({ dataDir, tasks: 20, kills: 6, seed: 3, durable });
      console.log(JSON.stringify(report));
      expect([report.lost, report.doubled]).toEqual([0, 0]);
      for (const code of Object.keys(report.errors)) expect(['workerLost', 'engineCrashed']).toContain(code);
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  },
  300_000,
);
