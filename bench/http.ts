/**
 * What the server costs over the engine: `npm run bench -- http`. The engine in place takes no time, so that everything
 * measured is the server's: validation, the database, the stored picture, the queue, the answer. Client and server are
 * two processes and share the machine.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Row } from './measure.ts';

/** Requests per second, and for how many seconds, when the pace is given. */
const pace = 100;
const seconds = 20;
/** Requests under way at once when it is not. */
const inFlight = 16;
/** Tasks over which memory is to stay flat. */
const longRun = 10_000;

type Send = () => Promise<void>;
type Client = { name: string; send: Send; close(): void };

export async function http(): Promise<Row[]> {
  const server = fork(fileURLToPath(new URL('http-server.ts', import.meta.url)), {
    execArgv: [...process.execArgv, '--expose-gc'],
  });
  try {
    const [{ url }] = await once(server, 'message');
    const rows: Row[] = [];
    for (const open of [sync, async, polling, webSocket]) {
      const client = await open(url);
      await flood(client.send, 200);
      rows.push({ ...(await paced(client)), ...(await unpaced(client)) });
      client.close();
    }
    const client = await sync(url);
    rows.push(await memory(server, client.send));
    client.close();
    return rows;
  } finally {
    server.disconnect();
    await once(server, 'exit');
  }
}

/** Requests start at their time whether or not those before have ended, so that waiting is measured too. */
async function paced({ name, send }: Client): Promise<Row> {
  const times: number[] = [];
  const running: Promise<void>[] = [];
  const begin = performance.now();
  for (let i = 0; i < pace * seconds; i++) {
    const due = begin + (i * 1000) / pace;
    const wait = due - performance.now();
    if (wait > 0) await sleep(wait);
    // From when it starts: timers are late by up to a millisecond, and that is not the server's.
    const started = performance.now();
    running.push(send().then(() => void times.push(performance.now() - started)));
  }
  await Promise.all(running);
  times.sort((a, b) => a - b);
  const at = (share: number) =>
    times[Math.min(times.length - 1, Math.floor(share * times.length))]!.toFixed(2);
  return { client: name, 'p50 ms at 100/s': at(0.5), 'p99 ms at 100/s': at(0.99), 'slowest ms': at(1) };
}

async function unpaced({ send }: Client): Promise<Row> {
  const count = 2000;
  const begin = performance.now();
  await flood(send, count);
  return { [`tasks/s, ${inFlight} at once`]: Math.round((1000 * count) / (performance.now() - begin)) };
}

async function flood(send: Send, count: number): Promise<void> {
  let left = count;
  const worker = async () => {
    while (left-- > 0) await send();
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
}

async function memory(server: ChildProcess, send: Send): Promise<Row> {
  const read = async () => {
    server.send('memory');
    const [{ rss, heapUsed }] = await once(server, 'message');
    return { rss: Math.round(rss / 2 ** 20), heap: Math.round(heapUsed / 2 ** 20) };
  };
  await flood(send, longRun / 10);
  const before = await read();
  await flood(send, longRun);
  const after = await read();
  return {
    client: `memory over ${longRun} tasks: ${before.rss} MiB (heap ${before.heap}) before, ${after.rss} (heap ${after.heap}) after`,
  };
}

const task = (fields: object = {}) => ({
  taskType: 'imageInference',
  taskUUID: randomUUID(),
  model: 'retouch:mini@1',
  positivePrompt: 'make the sky pink',
  ...fields,
});

async function sync(url: string): Promise<Client> {
  const { post, close } = poster(url);
  return { name: 'HTTP sync', send: async () => check(await post([task()]), 'imageURL'), close };
}

/** The acknowledgement: the task is written down when it comes. */
async function async(url: string): Promise<Client> {
  const { post, close } = poster(url);
  const send = async () => {
    const asked = task({ deliveryMethod: 'async' });
    check(await post([asked]), asked.taskUUID);
  };
  return { name: 'HTTP async, acknowledged', send, close };
}

/** Of a task that is done. */
async function polling(url: string): Promise<Client> {
  const { post, close } = poster(url);
  const asked = task();
  await post([asked]);
  const poll = [{ taskType: 'getResponse', taskUUID: asked.taskUUID }];
  return { name: 'HTTP getResponse', send: async () => check(await post(poll), '"success"'), close };
}

async function webSocket(url: string): Promise<Client> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1`);
  const waiting = new Map<string, () => void>();
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data) as { data?: { taskUUID?: string }[] };
    if (!frame.data) throw new Error(`the server answered ${data}`);
    for (const { taskUUID } of frame.data) if (taskUUID) waiting.get(taskUUID)?.();
  };
  await once(socket, 'open');
  socket.send(JSON.stringify([{ taskType: 'authentication', apiKey: 'none' }]));
  const send = () => {
    const asked = task();
    const done = Promise.withResolvers<void>();
    waiting.set(asked.taskUUID, () => {
      waiting.delete(asked.taskUUID);
      done.resolve();
    });
    socket.send(JSON.stringify([asked]));
    return done.promise;
  };
  return { name: 'WebSocket', send, close: () => socket.close() };
}

function poster(url: string): { post(tasks: object[]): Promise<string>; close(): void } {
  const agent = new Agent({ keepAlive: true, maxSockets: 200 });
  const headers = { 'content-type': 'application/json' };
  const post = (tasks: object[]) =>
    new Promise<string>((resolve, reject) => {
      const sent = request(`${url}/v1`, { method: 'POST', agent, headers }, async (response) => {
        const chunks = await response.toArray();
        resolve(Buffer.concat(chunks).toString());
      });
      sent.once('error', reject);
      sent.end(JSON.stringify(tasks));
    });
  return { post, close: () => agent.destroy() };
}

function check(answer: string, expected: string): void {
  if (!answer.includes(expected)) throw new Error(`the server answered ${answer.slice(0, 500)}`);
}
