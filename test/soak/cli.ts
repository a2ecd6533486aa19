/**
 * `npm run soak [-- --kills 200 --tasks 1000]`, `npm run soak -- fleet [--kills 60 --tasks 300 --s3 BUCKET]`,
 * or `npm run soak -- abuse [--requests 10000 --sockets 1000]`, and `--seed 1`:
 * exits with 1 when a bound is passed. BUCKET is `s3rver` or an address such as `http://127.0.0.1:9000/images`, whose
 * credentials are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { round, table } from '../../bench/measure.ts';
import { runAbuse } from './abuse.ts';
import { runFleetSoak } from './fleet.ts';
import { runSoak } from './soak.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string' },
    tasks: { type: 'string' },
    requests: { type: 'string', default: '10000' },
    sockets: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    s3: { type: 'string' },
  },
});
const runs = { kills, abuse, fleet };
const [name = 'kills'] = positionals;
if (!Object.hasOwn(runs, name) || positionals.length > 1)
  throw new Error(`Expected ${Object.keys(runs).join(' or ')}, found ${positionals.join(' ')}`);

/** Milliseconds in which /health answers. */
const healthBar = 1_000;
/** Code that is compiled and tables that grow to their size. */
const memoryBar = 64 * 2 ** 20;

const dataDir = await mkdtemp(join(tmpdir(), 'retouch-soak-'));
try {
  const passed = await runs[name as keyof typeof runs]();
  if (!passed) process.exitCode = 1;
} finally {
  await rm(dataDir, { recursive: true });
}

function read(option: keyof typeof values, usual?: number): number {
  const value = Number(values[option] ?? usual);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new Error(`Expected a whole number from 1 for --${option}, found ${values[option]}`);
}

async function kills(): Promise<boolean> {
  const tasks = read('tasks', 1000);
  const report = await runSoak({ dataDir, kills: read('kills', 200), tasks, seed: read('seed') });
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
  return report.lost === 0 && report.doubled === 0 && share <= 0.01;
}

/** Half of the kills with a Redis that keeps what it has, half with one that comes back empty. */
async function fleet(): Promise<boolean> {
  const [tasks, most] = [Math.ceil(read('tasks', 300) / 2), Math.ceil(read('kills', 60) / 2)];
  const rows: Record<string, string | number>[] = [];
  let passed = true;
  for (const durable of [true, false]) {
    const folder = await mkdtemp(join(dataDir, 'fleet-'));
    const report = await runFleetSoak({
      dataDir: folder,
      tasks,
      kills: most,
      seed: read('seed'),
      durable,
      s3: values.s3,
    });
    const { images, lost, doubled, kills: victims, errors } = report;
    const found = Object.entries(errors).map(([code, count]) => `${count} ${code}`);
    rows.push({
      'Redis restarts': durable ? 'with what it had' : 'empty',
      tasks,
      images,
      ...victims,
      lost,
      doubled,
      errors: found.join(', '),
    });
    passed &&= lost === 0 && doubled === 0;
  }
  console.log(table(rows));
  return passed;
}

async function abuse(): Promise<boolean> {
  const requests = read('requests');
  const report = await runAbuse({ dataDir, requests, sockets: read('sockets'), seed: read('seed') });
  const { health, before, most, after } = report;
  const at = (share: number) => health.times[Math.ceil(share * health.times.length) - 1] ?? Number.NaN;
  const worst = at(1);
  const rows = [
    ['requests', requests],
    ...Object.entries(report.statuses).map(([status, count]) => [`  answered ${status}`, count]),
    ['WebSockets opened', report.upgraded],
    ['/health asked', health.times.length + health.failures.length],
    ['/health not answered', health.failures.length],
    ['/health median (ms)', round(at(0.5))],
    ['/health 99th percentile (ms)', round(at(0.99))],
    ['/health worst (ms)', round(worst)],
    ['descriptors before, most, after', [before, most, after].map((held) => held.descriptors).join(' ')],
    ['RSS before, most, after (MiB)', [before, most, after].map(({ rss }) => round(rss / 2 ** 20)).join(' ')],
    ['main thread computed (s)', round(report.computed, 1)],
    ['main thread waited for a processor (s)', round(report.starved, 1)],
  ] as const;
  console.log(table(rows.map(([figure, value]) => ({ figure, value: value! }))));
  for (const text of [...health.failures, ...report.faults].slice(0, 20)) console.error(text);
  const isAlive = !report.ended && report.faults.length === 0 && !report.statuses[500];
  const isFree = after.descriptors <= before.descriptors && after.rss - before.rss <= memoryBar;
  const isAnswered = health.failures.length === 0 && worst <= healthBar;
  if (!isAnswered && report.starved > report.computed)
    console.error(
      'The server waited for a processor longer than it computed: the times are those of a busy machine.',
    );
  return isAlive && isFree && isAnswered;
}
