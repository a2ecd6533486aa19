/** The embedded model editing at 1024×1024 in 28 steps: one cold process, then the same process warm, at last in 8 steps. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type EngineEvent, type Plan, plainNumerics, plainPlan } from '../src/engine/plan.ts';
import { EngineHost } from '../src/engine/process/host.ts';
import { ModelStore } from '../src/store/models.ts';
import { type Options, type Row, round } from './measure.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const picture = path.join(
  root,
  'examples',
  fs.readdirSync(path.join(root, 'examples')).find((name) => name.endsWith('.png')) ?? '',
);

export async function edit({ threads, runs }: Options): Promise<Row[]> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-edit-'));
  const store = await ModelStore.scan({ models: folder, cache: folder });
  const plan = makePlan(store.find('retouch:mini@1')!.source);
  const rows: Row[] = [{ run: 'cold, command line', ...(await commandLine(folder)) }];
  const host = new EngineHost({ threads });
  rows.push({ run: 'first of a server', ...(await measured(host, plan)) });
  // A different sentence each time, since the engine caches the encoding of a prompt.
  for (const [i, colour] of ['green', 'white', 'yellow', 'purple'].slice(0, runs).entries())
    rows.push({
      run: `warm ${i + 1}`,
      ...(await measured(host, { ...plan, prompt: `make the background ${colour}` })),
    });
  const fewer = { ...plan, prompt: 'make the background orange', steps: 8 };
  rows.push({ run: 'warm, 8 steps', ...(await measured(host, fewer)) });
  await host.close();
  fs.rmSync(folder, { recursive: true });
  return rows;
}

function makePlan(model: Plan['model']): Plan {
  return {
    ...plainPlan,
    model,
    prompt: 'make the background pink',
    references: [fs.readFileSync(picture)],
    width: 1024,
    height: 1024,
    seed: 1n,
    steps: 28,
    guidance: 2.5,
    numerics: { ...plainNumerics, precision: 'auto' },
    output: { format: 'png', quality: 95 },
  };
}

async function measured(host: EngineHost, plan: Plan): Promise<Row> {
  const begin = performance.now();
  const steps: number[] = [];
  const stages: Partial<Record<EngineEvent['type'], number>> = {};
  for await (const event of host.run(plan)) {
    if (event.type === 'step-end') steps.push(event.milliseconds);
    else if ('milliseconds' in event) stages[event.type] = event.milliseconds;
  }
  const total = (performance.now() - begin) / 1000;
  const seconds = (type: EngineEvent['type']) => round((stages[type] ?? 0) / 1000, 2);
  return {
    'load s': seconds('load-end'),
    'encode s': seconds('encode-end'),
    's/step': round(steps.sort((a, b) => a - b)[steps.length >> 1]! / 1000, 3),
    'decode s': seconds('decode-end'),
    'total s': round(total, 2),
    'peak MiB': peakMemory(host.status.pid),
  };
}

/** The engine process's peak resident memory, if the system reports it. */
function peakMemory(pid: number | undefined): number | string {
  if (pid === undefined || process.platform !== 'linux') return 'unknown';
  const line = fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmHWM:\s+(\d+) kB/);
  return line ? Math.round(Number(line[1]) / 1024) : 'unknown';
}

async function commandLine(folder: string): Promise<Row> {
  const out = path.join(folder, 'out.png');
  const arguments_ = [
    path.join(root, 'bin', 'retouch.js'),
    'edit',
    picture,
    'make the background pink',
    '-o',
    out,
    '--width',
    '1024',
    '--height',
    '1024',
    '--steps',
    '28',
    '--seed',
    '1',
  ];
  const begin = performance.now();
  execFileSync(process.execPath, arguments_, { stdio: ['ignore', 'ignore', 'pipe'] });
  return {
    'load s': '',
    'encode s': '',
    's/step': '',
    'decode s': '',
    'total s': round((performance.now() - begin) / 1000, 2),
    'peak MiB': '',
  };
}
