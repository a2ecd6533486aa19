/** A full disk: the data directory on a small file system of the server's own. It takes Linux and user namespaces. */

import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Answer, dataUri, editTask, ServerProcess, type Task } from '../e2e/server-process.ts';
import { drawScene } from '../fixtures/scene.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const script = fileURLToPath(new URL('../fixtures/scripted-server.ts', import.meta.url));
const canMount = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;

/** The codes by which a client learns that nothing can be written. */
const refusals = ['assetWriteFailed', 'databaseFull', 'inputWriteFailed'];

describe.runIf(canMount)('a disk that is full', () => {
  let folder: string;
  let server: ServerProcess;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'retouch-full-'));
    const mount = `mount -t tmpfs -o size=3m none '${folder}' && exec '${process.execPath}' '${script}'`;
    const command = ['unshare', '-rm', 'sh', '-c', mount] as const;
    server = await ServerProcess.start({ dataDir: folder, command });
  });

  afterAll(async () => {
    server?.child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });

  /** The disk as the server sees it. */
  const inside = (name: string) => `/proc/${server.child.pid}/root${folder}/${name}`;

  async function fill(): Promise<void> {
    for (const size of [2 ** 16, 2 ** 12, 1]) {
      for (let part = 0; ; part++) {
        try {
          await writeFile(inside(`filler-${size}-${part}`), Buffer.alloc(size));
        } catch (error) {
          expect(error).toMatchObject({ code: 'ENOSPC' });
          break;
        }
      }
    }
  }

  async function free(): Promise<void> {
    spawnSync('sh', ['-c', `rm ${inside('filler-')}*`]);
  }

  async function ended(task: Task): Promise<Answer> {
    for (;;) {
      const answer = await server.post([{ taskType: 'getResponse', taskUUID: task.taskUUID }]);
      if (!answer.body.data.some(({ status }) => status === 'processing')) return answer;
      await sleep(50);
    }
  }

  it('is said to every client, ends no process, and loses nothing that was accepted', async () => {
    const before = editTask({ positivePrompt: 'step', deliveryMethod: 'async' });
    await server.post([before]);
    const { data } = (await ended(before)).body;
    await fill();

    const references = { referenceImages: [dataUri(await drawScene(128, 128))] };
    const withInputs = await server.post([editTask({ positivePrompt: 'step', inputs: references })]);
    expect([withInputs.status, withInputs.body.errors?.map(({ code }) => code)]).toEqual([
      503,
      ['inputWriteFailed'],
    ]);
    expect(withInputs.body.error?.message).toContain('the disk is full');

    const tasks = Array.from({ length: 12 }, () =>
      editTask({ positivePrompt: 'step', deliveryMethod: 'async' }),
    );
    const accepted: Task[] = [];
    for (const task of tasks) {
      const { status, body } = await server.post([task]);
      if (status === 200) accepted.push(task);
      else expect([status, refusals]).toEqual([503, expect.arrayContaining([body.error?.code])]);
    }
    expect((await server.health()).status).toBe('ok');
    const ready = await fetch(new URL('/ready', server.url));
    expect([ready.status, JSON.stringify(await ready.json())]).toEqual([
      503,
      expect.stringMatching(/the disk is full/i),
    ]);

    await free();
    for (const task of accepted) {
      const { body } = await ended(task);
      expect(body.data.length + (body.errors ?? []).length).toBe(1);
      for (const { code } of body.errors ?? []) expect(refusals).toContain(code);
    }
    // Refused tasks do not exist, and may be sent again.
    for (const task of tasks.filter((task) => !accepted.includes(task))) {
      expect((await server.post([{ ...task, deliveryMethod: 'sync' }])).body.data).toHaveLength(1);
    }
    expect((await ended(before)).body.data).toEqual(data);
    expect(await server.stop()).toEqual({ code: 0, signal: null });
  });
});
