/** Uploads, records, figures and keys of a server that runs, with the real engine. */

import { execFileSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { parseJson } from '../../src/api/json.ts';
import { readPlanRecord } from '../../src/engine/pipeline/plan-record.ts';
import { drawScene } from '../fixtures/scene.ts';
import { dataUri, download, ServerProcess } from './server-process.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const program = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
let folder: string;
let server: ServerProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-media-'));
  server = await ServerProcess.start({ dataDir: folder });
});

afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

it('an uploaded picture is edited by its UUID, and the result says so', async () => {
  const picture = await drawScene(256, 256);
  const upload = await server.post([
    { taskType: 'imageUpload', taskUUID: randomUUID(), image: dataUri(picture) },
  ]);
  const { imageUUID } = upload.body.data[0]!;
  const seed = 9223372036854775807n;
  const { text, body } = await server.edit({
    inputs: { referenceImages: [imageUUID] },
    outputFormat: 'PNG',
    seed,
    steps: 1,
  });
  expect(parseJson(text)).toMatchObject({ data: [{ seed }] });
  expect(readPlanRecord(await download(body.data[0]!.imageURL))).toMatchObject({
    model: 'retouch:mini@1',
    prompt: 'make the background green',
    seed: seed.toString(),
    steps: 1,
    references: [`sha256:${createHash('sha256').update(picture).digest('hex')}`],
  });
  // And the result is a reference by its own UUID.
  const again = await server.edit({ inputs: { referenceImages: [body.data[0]!.imageUUID] }, steps: 1 });
  expect(again.status).toBe(200);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  expect(metrics).toMatch(/^retouch_images_total 2$/m);
  expect(metrics).toMatch(/^retouch_step_seconds_count 2$/m);
  expect(metrics).toMatch(/^retouch_tasks_total\{type="imageInference",outcome="success"\} 2$/m);
  expect(metrics).toMatch(/^retouch_tasks_total\{type="imageUpload",outcome="success"\} 1$/m);
});

it('a key that is made while the server runs is asked for at once, and revoked at once', async () => {
  const run = (...words: string[]) =>
    execFileSync(process.execPath, [program, 'keys', ...words], {
      env: { PATH: process.env.PATH, RETOUCH_DATA_DIR: folder },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const post = async (key?: string) => {
    const response = await fetch(`${server.url}/v1`, {
      method: 'POST',
      headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
      body: JSON.stringify([{ taskType: 'ping' }]),
    });
    return response.status;
  };
  expect(await post()).toBe(200);
  const key = run('add', 'laptop').trim();
  expect(await post()).toBe(401);
  expect(await post(key)).toBe(200);
  expect((await fetch(`${server.url}/metrics`)).status).toBe(401);
  expect(run('list')).toContain('laptop');
  const other = run('add', 'phone').trim();
  run('revoke', 'laptop');
  expect(await post(key)).toBe(401);
  expect(await post(other)).toBe(200);
});
