/**
 * `npm run pictures -- CHECKOUT [CHECKOUT] [--only TEXT]`: the SHA-256 of the pixels that a checkout draws for a fixed list of
 * tasks, over HTTP; with two checkouts, the tasks that differ. Compare a change that must keep every byte with the commit
 * before it. Both checkouts need their node_modules.
 */

import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { type PictureTask, pictureTasks } from './picture-tasks.ts';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: 'string' } } });
const checkouts = positionals.map((path) => resolve(path));
const wrong = checkouts.find((path) => !existsSync(join(path, 'bin', 'retouch.js')));
if (checkouts.length < 1 || checkouts.length > 2 || wrong !== undefined) {
  const found = wrong === undefined ? `${checkouts.length} folders` : `no bin/retouch.js in ${wrong}`;
  console.error(`Found ${found}, expected one or two checkouts of Retouch.`);
  process.exit(2);
}
const tasks = pictureTasks.filter(({ name }) => name.includes(values.only ?? ''));

const [first, second] = [await drawAll(checkouts[0]!), checkouts[1] && (await drawAll(checkouts[1]))];
if (second) {
  const different = tasks.filter(({ name }) => first.get(name) !== second.get(name));
  for (const { name } of different)
    console.log(`different: ${name}: ${first.get(name)} and ${second.get(name)}`);
  console.log(`${tasks.length - different.length} equal, ${different.length} different`);
  if (different.length > 0) process.exitCode = 1;
}

/** Name of a task → digest of its pixels, or its error. */
async function drawAll(checkout: string): Promise<Map<string, string>> {
  console.log(checkout);
  const digests = new Map<string, string>();
  for (const [precision, group] of Map.groupBy(tasks, (task) => task.precision)) {
    const folder = await mkdtemp(join(tmpdir(), 'retouch-pictures-'));
    const server = await startServer(checkout, folder, precision);
    try {
      for (const task of group) {
        const digest = await draw(server.url, task);
        digests.set(task.name, digest);
        console.log(`${digest}  ${task.name}`);
      }
    } finally {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    }
  }
  return digests;
}

async function startServer(checkout: string, dataDir: string, precision: string) {
  const child = spawn(process.execPath, [join(checkout, 'bin', 'retouch.js'), 'serve'], {
    env: {
      PATH: process.env.PATH,
      HOME: dataDir,
      RETOUCH_DATA_DIR: dataDir,
      RETOUCH_PORT: '0',
      RETOUCH_LOG_LEVEL: 'error',
      RETOUCH_SYNC_TIMEOUT: '600',
      RETOUCH_PRECISION: precision,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async () => {
    child.kill('SIGTERM');
    await exit;
  };
  for await (const line of createInterface(child.stdout)) {
    const url = /^Retouch listening on (http:\S+)/.exec(line)?.[1];
    if (url !== undefined) return { url, stop };
  }
  throw new Error(`The server of ${checkout} ended before it listened.`);
}

async function draw(url: string, { task }: PictureTask): Promise<string> {
  const response = await fetch(`${url}/v1`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify([{ ...task, taskUUID: randomUUID() }]),
  });
  const { data = [], errors = [] } = (await response.json()) as {
    data?: { seed: number; imageBase64Data: string }[];
    errors?: { code: string; message: string }[];
  };
  if (errors.length > 0)
    return `error ${errors.map(({ code, message }) => `${code}: ${message}`).join('; ')}`;
  const hash = createHash('sha256');
  for (const { imageBase64Data } of data.toSorted((a, b) => a.seed - b.seed)) {
    const { data: pixels, info } = await sharp(Buffer.from(imageBase64Data, 'base64'))
      .raw()
      .toBuffer({ resolveWithObject: true });
    hash.update(`${info.width}x${info.height}x${info.channels}\n`).update(pixels);
  }
  return hash.digest('hex');
}
