/** Clients of the task API, each with one kind of request, for `bench http`. */

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request } from 'node:http';

export type Send = () => Promise<void>;
export type Client = { name: string; send: Send; close(): void };

/** Requests under way at once when the pace is not given. */
export const inFlight = 16;

export async function flood(send: Send, count: number): Promise<void> {
  let left = count;
  const worker = async () => {
    while (left-- > 0) await send();
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
}

const task = (fields: object = {}) => ({
  taskType: 'imageInference',
  taskUUID: randomUUID(),
  model: 'retouch:mini@1',
  positivePrompt: 'make the sky pink',
  ...fields,
});

export async function sync(url: string): Promise<Client> {
  const { post, close } = poster(url);
  return { name: 'HTTP sync', send: async () => check(await post([task()]), 'imageURL'), close };
}

/** The same picture by OpenAI's Images API, stored and answered in the same way. */
export async function openAI(url: string): Promise<Client> {
  const { post, close } = poster(url, '/v1/images/generations');
  const asked = { prompt: 'make the sky pink', response_format: 'url', output_format: 'jpeg' };
  return { name: 'OpenAI generations', send: async () => check(await post(asked), '"url"'), close };
}

/** The acknowledgement, which comes after the task is committed. */
export async function async(url: string): Promise<Client> {
  const { post, close } = poster(url);
  const send = async () => {
    const asked = task({ deliveryMethod: 'async' });
    check(await post([asked]), asked.taskUUID);
  };
  return { name: 'HTTP async, acknowledged', send, close };
}

/** Polls a finished task. */
export async function polling(url: string): Promise<Client> {
  const { post, close } = poster(url);
  const asked = task();
  await post([asked]);
  const poll = [{ taskType: 'getResponse', taskUUID: asked.taskUUID }];
  return { name: 'HTTP getResponse', send: async () => check(await post(poll), '"success"'), close };
}

export async function webSocket(url: string): Promise<Client> {
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

function poster(url: string, path = '/v1'): { post(body: object): Promise<string>; close(): void } {
  const agent = new Agent({ keepAlive: true, maxSockets: 200 });
  const headers = { 'content-type': 'application/json' };
  const post = (body: object) =>
    new Promise<string>((resolve, reject) => {
      const sent = request(`${url}${path}`, { method: 'POST', agent, headers }, async (response) => {
        const chunks = await response.toArray();
        resolve(Buffer.concat(chunks).toString());
      });
      sent.once('error', reject);
      sent.end(JSON.stringify(body));
    });
  return { post, close: () => agent.destroy() };
}

function check(answer: string, expected: string): void {
  if (!answer.includes(expected)) throw new Error(`the server answered ${answer.slice(0, 500)}`);
}
