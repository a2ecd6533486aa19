/**
 * OpenAI's Python package, unmodified, against a real server with the real engine. TEST_PYTHON names an interpreter that
 * has it; without one, and where `python3` has none, these tests are skipped.
 */

import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ServerProcess } from '../e2e/server-process.ts';
import { drawScene } from '../fixtures/scene.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 300_000 });

const apiKey = 'a-key-of-the-conformance-tests';
const script = fileURLToPath(new URL('./openai_client.py', import.meta.url));
const python = process.env.TEST_PYTHON ?? 'python3';

/** Asked for by name, it must be there. */
function hasPackage(): boolean {
  if (process.env.TEST_PYTHON !== undefined) return true;
  try {
    execFileSync(python, ['-c', 'import openai'], { stdio: 'ignore' });
    return true;
  } catch {
    console.log(`Skipped: ${python} has no package openai; TEST_PYTHON names an interpreter that has it.`);
    return false;
  }
}

type Case = { case: string } & Record<string, unknown>;

describe.skipIf(!hasPackage())('the openai package for Python', () => {
  let folder: string;
  let server: ServerProcess;
  const cases = new Map<string, Case>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'retouch-python-'));
    server = await ServerProcess.start({ dataDir: folder, env: { RETOUCH_API_KEYS: apiKey } });
    const scene = join(folder, 'scene.png');
    await writeFile(scene, await drawScene(320, 240));
    const { stdout } = await promisify(execFile)(python, [script, server.url, apiKey, scene], {
      timeout: 250_000,
    });
    for (const line of stdout.trim().split('\n')) {
      const said = JSON.parse(line) as Case;
      cases.set(said.case, said);
    }
  });

  afterAll(async () => {
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it.each([
    ['edits a file', 'one', { kind: 'png', size: '1184x880', format: 'png' }],
    ['edits with several', 'several', { kinds: ['jpeg', 'jpeg'], seeds: [7, 8], size: '1248x832' }],
    ['is answered by URL', 'url', { url: expect.stringMatching(/^http.*\/images\/.*\.png$/), b64: null }],
    ['applies a LoRA of its extra body', 'lora', { same: false }],
    [
      'streams',
      'stream',
      { types: ['image_edit.partial_image', 'image_edit.partial_image', 'image_edit.completed'] },
    ],
    ['raises for n', 'many', { error: 'BadRequestError', status: 400, code: 'invalidN', param: 'n' }],
    [
      'raises for an extra parameter',
      'steps',
      {
        param: 'num_inference_steps',
        message: expect.stringContaining('found 99, expected an integer from 1 to 50'),
      },
    ],
    ['raises for a model', 'model', { error: 'NotFoundError', status: 404, code: 'modelNotFound' }],
    ['lists models', 'models', { ids: ['retouch:mini@1'] }],
    ['makes ten at once', 'ten', { different: 10 }],
    ['leaves after its time is up', 'left', { error: 'APITimeoutError' }],
  ])('%s', (_, name, expected) => {
    expect(cases.get(name)).toMatchObject(expected);
  });

  it('what its client left is not made', async () => {
    await expect.poll(async () => (await server.health()).queue.depth).toBe(0);
  });
});
