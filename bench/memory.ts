/**
 * What the server keeps in memory of tasks that are done: `npm run bench -- memory`. What fills caches of a fixed size and
 * what the allocator holds back ends by itself, so that the slope over the second half is what counts.
 */
import { once } from 'node:events';
import { flood, sync } from './http-clients.ts';
import { startProcess } from './http-process.ts';
import { type Row, round } from './measure.ts';

const count = 40_000;
const samples = 16;

type Memory = { rss: number; heapUsed: number; external: number; arrayBuffers: number };

export async function memory(): Promise<Row[]> {
  const { child, url, end } = await startProcess('http-server.ts');
  const client = await sync(url);
  const read = async (): Promise<Memory> => {
    child.send('memory');
    const [found] = await once(child, 'message');
    return found;
  };
  try {
    const found: ({ tasks: number } & Memory)[] = [];
    for (let i = 0; i <= samples; i++) {
      if (i > 0) await flood(client.send, count / samples);
      found.push({ tasks: (i * count) / samples, ...(await read()) });
    }
    const later = found.slice(found.length / 2);
    const slope = (name: keyof Memory) =>
      round(
        slopeOf(
          later.map(({ tasks }) => tasks),
          later.map((each) => each[name]),
        ),
      );
    return [
      ...found.map(({ tasks, ...memory }) =>
        row(String(tasks), memory, (name) => round(memory[name] / 2 ** 20, 1)),
      ),
      row('slope, second half: bytes a task', later[0]!, slope),
    ];
  } finally {
    client.close();
    await end();
  }
}

function row(tasks: string, memory: Memory, value: (name: keyof Memory) => number): Row {
  const names = Object.keys(memory).filter((name) => name !== 'tasks') as (keyof Memory)[];
  return { tasks, ...Object.fromEntries(names.map((name) => [`${name}, MiB`, value(name)])) };
}

/** Of the line nearest to the points. */
function slopeOf(xs: readonly number[], ys: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(xs), mean(ys)];
  const product = xs.reduce((sum, each, i) => sum + (each - x) * (ys[i]! - y), 0);
  return product / xs.reduce((sum, each) => sum + (each - x) ** 2, 0);
}
