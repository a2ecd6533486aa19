/**
 * The server's overhead over the engine: `npm run bench -- http`. The engine is replaced by one that takes no time, so the
 * measured time is the server's: validation, database, stored image, queue, answer. The floor is a bare server with the same
 * durability. Client and server are two processes and share the machine.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { async, type Client, flood, inFlight, openAI, polling, sync, webSocket } from './http-clients.ts';
import { type ServerProcess, startProcess } from './http-process.ts';
import { type Row, round } from './measure.ts';

/** Requests per second, and for how many seconds, when the pace is given. */
const pace = 100;
const seconds = 10;

/** Counts without a pace. The first requests warm the server up: the JIT compiler needs some thousand of them. */
const warmUp = 2000;
const counted = 2000;

/** Milliseconds at that pace; tasks per second without one. */
type Times = { p50: number; p99: number; slowest: number; perSecond: number };

export async function http(): Promise<Row[]> {
  const [floor, server] = await Promise.all([startProcess('http-floor.ts'), startProcess('http-server.ts')]);
  try {
    const rows: Row[] = [];
    for (const open of [sync, async, polling, webSocket]) {
      // The two take turns, so that other load on the machine affects both.
      const least = await measure(floor, open);
      const found = await measure(server, open);
      rows.push(row(`${found.name}, floor`, least), row(found.name, found, least));
    }
    // OpenAI's door is compared with the native request measured in the same minute, as the floor has no such door.
    const native = await measure(server, sync);
    const door = await measure(server, openAI);
    rows.push(row('HTTP sync, again', native), row(door.name, door, undefined, native));
    return rows;
  } finally {
    await Promise.all([floor.end(), server.end()]);
  }
}

function row(client: string, { p50, p99, slowest, perSecond }: Times, floor?: Times, native?: Times): Row {
  return {
    client,
    'p50 ms at 100/s': round(p50, 2),
    'of the floor': floor ? round(p50 / floor.p50, 2) : '',
    'ms over native': native ? round(p50 - native.p50, 2) : '',
    'p99 ms at 100/s': round(p99, 2),
    'slowest ms': round(slowest, 2),
    [`tasks/s, ${inFlight} at once`]: round(perSecond),
  };
}

async function measure(
  { url, ask }: ServerProcess,
  open: (url: string) => Promise<Client>,
): Promise<Times & { name: string }> {
  const client = await open(url);
  await flood(client.send, warmUp);
  await ask('idle');
  const begin = performance.now();
  await flood(client.send, counted);
  const perSecond = (1000 * counted) / (performance.now() - begin);
  // Waits for tasks that were acknowledged but are not finished.
  await ask('idle');
  const times = await paced(client);
  await ask('idle');
  client.close();
  return { name: client.name, ...times, perSecond };
}

/** Requests start on schedule even if earlier ones have not ended, so that queueing is measured too. */
async function paced({ send }: Client): Promise<Omit<Times, 'perSecond'>> {
  const times: number[] = [];
  const running: Promise<void>[] = [];
  const begin = performance.now();
  for (let i = 0; i < pace * seconds; i++) {
    const due = begin + (i * 1000) / pace;
    const wait = due - performance.now();
    if (wait > 0) await sleep(wait);
    // Measured from the actual start: timers are late by up to a millisecond, which is not the server's time.
    const started = performance.now();
    running.push(send().then(() => void times.push(performance.now() - started)));
  }
  await Promise.all(running);
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(share * times.length))]!;
  return { p50: at(0.5), p99: at(0.99), slowest: at(1) };
}
