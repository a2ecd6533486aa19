/** `npm run soak [-- --kills 200 --tasks 1000 --seed 1]`: exits with 1 when a bound is passed. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { table } from '../../bench/measure.ts';
import { runSoak } from './soak.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    tasks: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
  },
});
const [kills, tasks, seed] = [values.kills, values.tasks, values.seed].map(Number) as [
  number,
  number,
  number,
];
for (const [name, value] of Object.entries({ kills, tasks, seed }))
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`Expected a whole number from 1 for --${name}, found ${value}`);

const dataDir = await mkdtemp(join(tmpdir(), 'retouch-soak-'));
try {
  const report = await runSoak({ dataDir, kills, tasks, seed });
  const share = report.failedRequests / tasks;
  console.log(
    table([
      {
        tasks,
        images: report.images,
        'kills of the server': report.serverKills,
        'kills of the engine': report.engineKills,
        'of them with images under way': report.busyKills,
        lost: report.lost,
        doubled: report.doubled,
        ...report.errors,
        'requests that ended in an error': `${(100 * share).toFixed(2)} %`,
      },
    ]),
  );
  if (report.lost > 0 || report.doubled > 0 || share > 0.01) process.exitCode = 1;
} finally {
  await rm(dataDir, { recursive: true });
}
