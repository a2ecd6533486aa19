import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { queryObjects } from 'node:v8';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { type Answer, type Bench, createBench, task } from './fixture.ts';

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
let bench: Bench;
let url: string;
let socket: WebSocket;

beforeAll(async () => {
  bench = await createBench();
  url = `${await bench.server.listen({ port: 0, host: '127.0.0.1' })}/v1`;
  socket = new WebSocket(url.replace('http', 'ws'));
  await once(socket, 'open');
  await ask({ taskType: 'authentication', apiKey: 'k' });
});

afterAll(async () => {
  socket.terminate();
  agent.destroy();
  await bench.close();
});

const asked = (fields: object = {}) => ({ ...task, taskUUID: randomUUID(), ...fields });

/** Over a real connection: an injected request looks like one whose client has disconnected, which ends its waits. */
async function post(task: object): Promise<Answer> {
  const sent = request(url, { method: 'POST', agent }).end(JSON.stringify([task]));
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return (await json(response)) as Answer;
}

async function ask(task: object): Promise<unknown> {
  socket.send(JSON.stringify([task]));
  return once(socket, 'message');
}

/** A client's requests, and the answers. */
const exchanges: Record<string, () => Promise<unknown>> = {
  'a sync task': () => post(asked()),
  'a task of three pictures as base64': () => post(asked({ numberResults: 3, outputType: 'base64Data' })),
  'an async task that is polled for': async () => {
    const { taskUUID, ...rest } = asked({ deliveryMethod: 'async' });
    await post({ ...rest, taskUUID });
    for (let status: unknown; status !== 'success'; await sleep(1)) {
      const { data } = await post({ taskType: 'getResponse', taskUUID });
      status = data[0]?.status;
    }
  },
  'a task that is not valid': () => post(asked({ steps: 'many' })),
  'a task of a WebSocket': () => ask(asked()),
};

/** Objects of any kind that something still holds, after a collection of garbage. */
function countObjects(): number {
  bench.engine.plans.length = 0;
  bench.logged.length = 0;
  return queryObjects(Object, { format: 'count' });
}

describe('the memory of a server', () => {
  it.each(Object.keys(exchanges))('holds nothing of %s once it is answered', async (name) => {
    const times = 30;
    const repeat = async () => {
      for (let i = 0; i < times; i++) await exchanges[name]!();
      // Objects of this turn of the event loop are released in later ones.
      await sleep(20);
      return countObjects();
    };
    await repeat();
    const before = await repeat();
    const after = await repeat();
    expect((after - before) / times).toBeLessThan(0.5);
  });
});
