/**
 * The floor of `bench http`, in a separate process: the least work of any server with the same durability. A bare HTTP
 * server that reads JSON, makes one commit, writes and syncs the same picture, and answers; each in the fastest way
 * found.
 */

import { randomUUID } from 'node:crypto';
import {
  closeSync,
  fdatasync,
  fsync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  write,
} from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { WebSocketServer } from 'ws';
import { picture } from './http-picture.ts';

const folder = process.env.RETOUCH_BENCH_DIR ?? mkdtempSync(join(tmpdir(), 'retouch-bench-floor-'));
mkdirSync(folder, { recursive: true });
const { bytes } = await picture();

const db = new DatabaseSync(join(folder, 'floor.db'));
db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
  CREATE TABLE tasks (uuid TEXT PRIMARY KEY, request TEXT NOT NULL, item TEXT) STRICT, WITHOUT ROWID`);
const insert = db.prepare('INSERT INTO tasks VALUES (?, ?, ?)');
const log = openSync(join(folder, 'floor.db-wal'), 'r+');
const find = db.prepare('SELECT item FROM tasks WHERE uuid = ?');

type Asked = { taskType: string; taskUUID: string; deliveryMethod?: string };

async function perform(task: Asked): Promise<object> {
  const { taskType, taskUUID } = task;
  if (taskType === 'getResponse') return JSON.parse(find.get(taskUUID)!.item as string);
  if (task.deliveryMethod === 'async') {
    insert.run(taskUUID, JSON.stringify(task), null);
    await promisify(fdatasync)(log);
    return { taskType, taskUUID };
  }
  const imageUUID = randomUUID();
  const path = join(folder, `${imageUUID}.jpg`);
  const file = openSync(`${path}.tmp`, 'wx');
  await promisify(write)(file, bytes);
  renameSync(`${path}.tmp`, path);
  await promisify(fsync)(file);
  closeSync(file);
  const item = { taskType, taskUUID, imageUUID, imageURL: `${url}/images/${imageUUID}.jpg`, seed: 1 };
  insert.run(taskUUID, JSON.stringify(task), JSON.stringify({ ...item, status: 'success' }));
  return item;
}

async function read(request: IncomingMessage): Promise<string> {
  return Buffer.concat(await request.toArray()).toString();
}

const server = createServer(async (request, response) => {
  const tasks = JSON.parse(await read(request)) as Asked[];
  const body = JSON.stringify({ data: await Promise.all(tasks.map(perform)) });
  response.writeHead(200, { 'content-type': 'application/json' }).end(body);
});
new WebSocketServer({ server }).on('connection', (socket) => {
  socket.on('message', async (data) => {
    const [task] = JSON.parse(data.toString()) as [Asked];
    const item = task.taskType === 'authentication' ? task : await perform(task);
    socket.send(JSON.stringify({ data: [item] }));
  });
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
process.send!({ url });

// All work is done before the answer.
process.on('message', (message) => process.send!(message));

process.on('disconnect', () => {
  server.close();
  server.closeAllConnections();
  db.close();
  rmSync(folder, { recursive: true, force: true });
});
