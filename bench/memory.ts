/**
 * Memory that the server retains per finished task: `npm run bench -- memory`. Fixed-size caches and allocator reserves fill
 * up early, so the slope over the second half is the result.
 */
import { flood, sync } from './http-clients.ts';
import { startProcess } from './http-process.ts';
import { type Row, round } from './measure.ts';

const count = 40_000;
const samples = 16;

type Memory = ReturnType<typeof process.memoryUsage>;

/** V8 grows the heap in steps with its young generation, independently of live objects, so it is listed separately. */
const columns: Record<string, (memory: Memory) => number> = {
  resident: ({ rss }) => rss,
  'of it heap': ({ heapTotal }) => heapTotal,
  'used of the heap': ({ heapUsed }) => heapUsed,
  'outside the heap': ({ rss, heapTotal }) => rss - heapTotal,
};

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
      ...found.map(({ tasks, memory }) => row(`${tasks}: MiB`, (read) => round(read(memory) / 2 ** 20, 1))),
      row('second half: bytes a task', (read) =>
        round(
          slopeOf(
            xs,
            later.map(({ memory }) => read(memory)),
          ),
        ),
      ),
    ];
  } finally {
    client.close();
    await end();
  }
}

function row(tasks: string, value: (read: (memory: Memory) => number) => number): Row {
  const cells = Object.entries(columns).map(([name, read]) => [name, value(read)]);
  return { tasks, ...Object.fromEntries(cells) };
}

/** Slope of the least-squares line. */
function slopeOf(xs: readonly number[], ys: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(xs), mean(ys)];
  const product = xs.reduce((sum, each, i) => sum + (each - x) * (ys[i]! - y), 0);
  return product / xs.reduce((sum, each) => sum + (each - x) ** 2, 0);
}
