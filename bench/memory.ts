/**
 * What the server keeps in memory of tasks that are done: `npm run bench -- memory`. What fills caches of a fixed size and
 * what the allocator holds back ends by itself, so that the slope over the second half is what counts.
 */
import { flood, sync } from './http-clients.ts';
import { startProcess } from './http-process.ts';
import { type Row, round } from './measure.ts';

const count = 40_000;
const samples = 16;

const fields = ['rss', 'heapTotal', 'heapUsed', 'external', 'arrayBuffers'] as const;
type Memory = Record<(typeof fields)[number], number>;

export async function memory(): Promise<Row[]> {
  const { url, ask, end } = await startProcess('http-server.ts');
  const client = await sync(url);
  try {
    const found: { tasks: number; memory: Memory }[] = [];
    for (let i = 0; i <= samples; i++) {
      if (i > 0) await flood(client.send, count / samples);
      found.push({ tasks: (i * count) / samples, memory: (await ask('memory')) as Memory });
    }
    const later = found.slice(found.length / 2);
    const xs = later.map(({ tasks }) => tasks);
    return [
      ...found.map(({ tasks, memory }) => row(String(tasks), (field) => round(memory[field] / 2 ** 20, 1))),
      row('slope, second half: bytes a task', (field) => round(slopeOf(xs, ofField(later, field)))),
    ];
  } finally {
    client.close();
    await end();
  }
}

function ofField(found: readonly { memory: Memory }[], field: keyof Memory): number[] {
  return found.map(({ memory }) => memory[field]);
}

function row(tasks: string, value: (field: keyof Memory) => number): Row {
  return { tasks, ...Object.fromEntries(fields.map((field) => [`${field}, MiB`, value(field)])) };
}

/** Of the line nearest to the points. */
function slopeOf(xs: readonly number[], ys: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(xs), mean(ys)];
  const product = xs.reduce((sum, each, i) => sum + (each - x) * (ys[i]! - y), 0);
  return product / xs.reduce((sum, each) => sum + (each - x) ** 2, 0);
}
