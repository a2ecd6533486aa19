/** `retouch serve` with several engines on one machine. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { drawScene } from '../fixtures/scene.ts';
import { dataUri, download, editTask, ServerProcess } from './server-process.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const script = fileURLToPath(new URL('../fixtures/scripted-server.ts', import.meta.url));
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-engines-'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

type Engines = {
  engines: { name: string; device: string; state: string; restarts: number; model?: string }[];
};

const healthOf = async (server: ServerProcess) => (await server.health()) as unknown as Engines;

describe('four engines', () => {
  let server: ServerProcess;

  beforeAll(async () => {
    server = await ServerProcess.start({
      dataDir: join(folder, 'scripted'),
      env: { RETOUCH_ENGINES: '4', RETOUCH_LOG_LEVEL: 'error' },
      command: [process.execPath, script],
    });
  });

  afterAll(() => server?.stop());

  it('make the four results of one task at once, answered in the order of the seeds', async () => {
    const task = editTask({ positivePrompt: 'slow slow slow', numberResults: 4, seed: 7 });
    const answer = server.post([task]);
    await vi.waitFor(
      async () => {
        const { engines } = await healthOf(server);
        expect(engines.map(({ state }) => state)).toEqual(['busy', 'busy', 'busy', 'busy']);
      },
      { timeout: 30_000, interval: 20 },
    );
    const { body } = await answer;
    expect(body.data.map(({ seed }) => seed)).toEqual([7, 8, 9, 10]);
  });

  it('are each in /health and /metrics by name, with the model that they hold', async () => {
    await server.edit({ positivePrompt: 'step' });
    const { engines } = await healthOf(server);
    expect(engines.map(({ name, device, restarts }) => [name, device, restarts])).toEqual([
      ['cpu:0', 'cpu', 0],
      ['cpu:1', 'cpu', 0],
      ['cpu:2', 'cpu', 0],
      ['cpu:3', 'cpu', 0],
    ]);
    expect(engines.map(({ model }) => model)).toContain('retouch:mini@1');
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/^retouch_engines 4$/m);
    expect(metrics).toMatch(/^retouch_engine_restarts_total\{engine="cpu:3"\} 0$/m);
    expect(metrics).toMatch(/^retouch_engine_busy\{engine="cpu:0"\} [01]$/m);
  });

  it('go on when one of them crashes: its image alone is tried again', async () => {
    const others = [1, 2, 3].map(() => server.edit({ positivePrompt: 'slow slow slow' }));
    const crashed = await server.edit({ positivePrompt: 'step exit:3' });
    expect(crashed.body.errors?.map(({ code }) => code)).toEqual(['engineCrashed']);
    expect((await Promise.all(others)).map(({ status }) => status)).toEqual([200, 200, 200]);
    const { engines } = await healthOf(server);
    // Once for the crash and once for the second try.
    expect(engines.reduce((sum, { restarts }) => sum + restarts, 0)).toBeLessThanOrEqual(2);
  });
});

it('the same request gives the same bytes whichever engine makes it, and however many there are', async () => {
  const inputs = { referenceImages: [dataUri(await drawScene(128, 128))] };
  const task = { inputs, seed: 5, steps: 2, outputFormat: 'PNG' };
  const single = await ServerProcess.start({ dataDir: join(folder, 'single'), flags: ['--threads', '2'] });
  const expected = await single.draw(task);
  await single.stop();
  const server = await ServerProcess.start({
    dataDir: join(folder, 'double'),
    flags: ['--devices', 'cpu,cpu', '--threads', '2'],
  });
  try {
    const answers = await Promise.all([1, 2, 3, 4].map(() => server.edit(task)));
    const { engines } = await healthOf(server);
    expect(engines.map(({ name, model }) => [name, model])).toEqual([
      ['cpu:0', 'retouch:mini@1'],
      ['cpu:1', 'retouch:mini@1'],
    ]);
    const pictures = await Promise.all(answers.map(({ body }) => download(body.data[0]!.imageURL)));
    for (const picture of pictures) expect(Buffer.compare(picture, expected)).toBe(0);
  } finally {
    await server.stop();
  }
});

it.each([
  [['--devices', 'cpu,gpu'], /--devices is 'cpu,gpu'; expected devices separated by commas/],
  [['--devices', 'webgpu:one'], /--devices is 'webgpu:one'; expected devices/],
  [['--device', 'cuda,cpu'], /--device is 'cuda,cpu'; expected cpu, webgpu or cuda/],
  [['--device', 'webgpu:1'], /VK_DRIVER_FILES names \d+ Vulkan drivers, expected at least 2/],
  [['--devices', 'cpu:0,cpu:0'], /--devices is 'cpu:0,cpu:0'; expected devices/],
  [['--devices', 'cpu', '--engines', '2'], /Both --devices and --engines are given; expected one of the two/],
  [['--device', 'webgpu', '--engines', '2'], /--engines is 2; expected 1 on webgpu/],
])('retouch serve %j says what is wrong', async (flags, sentence) => {
  const server = ServerProcess.launch({ dataDir: join(folder, 'wrong'), flags });
  expect((await server.exit).code).toBe(1);
  expect(server.stderr).toMatch(sentence);
});
