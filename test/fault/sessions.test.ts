/** A connection session goes on where it was after the server was killed. The engine is scripted. */

import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import WebSocket from 'ws';
import { editTask, type Item, ServerProcess, type Task } from '../e2e/server-process.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const script = fileURLToPath(new URL('../fixtures/scripted-server.ts', import.meta.url));

let folder: string;
let port: string;
let server: ServerProcess;
const sockets: WebSocket[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-sessions-'));
  port = await freePort();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

beforeEach(() => start());

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate();
  await kill();
});

async function start(): Promise<void> {
  const env = { RETOUCH_PORT: port, RETOUCH_LOG_LEVEL: 'error', RETOUCH_API_KEYS: 'right,other' };
  server = await ServerProcess.start({ dataDir: folder, env, command: [process.execPath, script] });
}

async function kill(): Promise<void> {
  server.child.kill('SIGKILL');
  await server.exit;
}

async function freePort(): Promise<string> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port: found } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return String(found);
}

type Frame = { data?: Item[]; errors?: { code: string; taskUUID?: string }[] };

/** The messages of one connection after the answer to its key. */
type Client = { session: string; frames: Frame[]; send(task: Task): void };

async function connect(session?: string, apiKey = 'right'): Promise<Client> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1`);
  sockets.push(socket);
  socket.on('error', () => {});
  const frames: Frame[] = [];
  socket.on('message', (data) => frames.push(JSON.parse(String(data))));
  const send = (task: Task) => socket.send(JSON.stringify([task]));
  await once(socket, 'open');
  send({ taskType: 'authentication', apiKey, ...(session ? { connectionSessionUUID: session } : {}) });
  await until(() => frames.length > 0);
  return { session: String(frames.shift()!.data![0]!.connectionSessionUUID), frames, send };
}

async function until(look: () => boolean): Promise<void> {
  while (!look()) await sleep(10);
}

/** Until so many images wait or are made. */
async function waits(depth: number): Promise<void> {
  while ((await server.health()).queue.depth !== depth) await sleep(20);
}

const seeds = ({ frames }: Client) => frames.flatMap(({ data = [] }) => data.map(({ seed }) => Number(seed)));

it('a client that comes back after kill -9 is told each result that it had not received, and no other', async () => {
  const client = await connect();
  const asked = editTask({ positivePrompt: 'slow slow', numberResults: 3, seed: 7 });
  client.send(asked);
  await until(() => client.frames.length === 1);
  // The receipt of the first is on its way back.
  await sleep(100);
  await kill();
  expect(seeds(client)).toEqual([7]);

  await start();
  const again = await connect(client.session);
  expect(again.session).toBe(client.session);
  await until(() => again.frames.length === 2);
  // The image that was being made when the server was killed is made after those that were not begun.
  expect(seeds(again).toSorted()).toEqual([8, 9]);
  for (const { data } of again.frames) expect(data![0]).toMatchObject({ taskUUID: asked.taskUUID });
  await sleep(400);
  await kill();

  await start();
  const third = await connect(client.session);
  await sleep(300);
  expect(third.frames).toEqual([]);
});

it('what was finished while nobody was connected is told as well, an error with it', async () => {
  const client = await connect();
  const good = editTask({ positivePrompt: 'slow slow slow', seed: 1 });
  const bad = editTask({ positivePrompt: 'slow error' });
  client.send(good);
  client.send(bad);
  await waits(2);
  await kill();

  await start();
  await waits(0);
  const again = await connect(client.session);
  await until(() => again.frames.length === 2);
  expect(seeds(again)).toEqual([1]);
  expect(again.frames.find(({ errors }) => errors)?.errors).toMatchObject([{ taskUUID: bad.taskUUID }]);
  await sleep(400);
  await kill();

  await start();
  const third = await connect(client.session);
  await sleep(300);
  expect(third.frames).toEqual([]);
});

it('the session of a killed server is not another key’s, and async tasks are left to polling', async () => {
  const client = await connect();
  client.send(editTask({ positivePrompt: 'slow slow slow slow slow', seed: 1 }));
  // The first sync task is accepted once its model was opened for the forecast; an async one needs none.
  await waits(1);
  client.send(editTask({ positivePrompt: 'step', seed: 2, deliveryMethod: 'async' }));
  await until(() => client.frames.length === 1);
  await kill();

  await start();
  expect((await connect(client.session, 'other')).session).not.toBe(client.session);
  const again = await connect(client.session);
  await until(() => again.frames.length === 1);
  await sleep(300);
  expect(seeds(again)).toEqual([1]);
});
