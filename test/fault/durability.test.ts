/**
 * Nothing is lost and nothing is doubled: the server's process and the engine's are killed at random points, the same
 * each time for a seed. The engine is scripted, so that there are many points in little time.
 */

import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { editTask, ServerProcess } from '../e2e/server-process.ts';
import { isOpen, poll, runSoak, until } from '../soak/soak.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const script = fileURLToPath(new URL('../fixtures/scripted-server.ts', import.meta.url));
const command = [process.execPath, script] as const;

let folder: string;
const servers: ServerProcess[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-durability-'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

afterEach(() => {
  for (const { child } of servers.splice(0)) child.kill('SIGKILL');
});

async function start(dataDir: string, env: Record<string, string> = {}): Promise<ServerProcess> {
  const allowed = { RETOUCH_ALLOW_PRIVATE_NETWORK: '1', RETOUCH_LOG_LEVEL: 'error', ...env };
  const server = await ServerProcess.start({ dataDir, env: allowed, command });
  servers.push(server);
  return server;
}

describe('processes killed at random', () => {
  it('lose none of 60 tasks, and end each image in exactly one result or one error', async () => {
    const report = await runSoak({ dataDir: join(folder, 'random'), tasks: 60, kills: 12, seed: 20250627 });
    console.log(JSON.stringify(report));
    expect(report.serverKills + report.engineKills).toBeGreaterThanOrEqual(12);
    expect(report.engineKills).toBeGreaterThanOrEqual(1);
    expect([report.lost, report.doubled]).toEqual([0, 0]);
    for (const code of Object.keys(report.errors)) expect(['engineCrashed', 'taskFailed']).toContain(code);
  });

  it('keep a task that was accepted with pictures, although their source is gone', async () => {
    const dataDir = join(folder, 'inputs');
    const png = Buffer.from(
      'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
      'base64',
    );
    const source = createServer((_, response) => response.end(png));
    await new Promise<void>((resolve) => source.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(source.address() as AddressInfo).port}/a.png`;
    const first = await start(dataDir);
    const task = editTask({
      positivePrompt: 'slow '.repeat(20).trim(),
      deliveryMethod: 'async',
      outputType: 'base64Data',
      inputs: { referenceImages: [url] },
    });
    expect((await first.post([task])).status).toBe(200);
    source.close();
    source.closeAllConnections();
    first.child.kill('SIGKILL');
    await first.exit;
    const second = await start(dataDir);
    const { body } = await until(async () => {
      const answer = await poll(second, task);
      return isOpen(answer) ? undefined : answer;
    });
    // The scripted engine gives its first reference back.
    expect(Buffer.from(String(body.data[0]?.imageBase64Data), 'base64').equals(png)).toBe(true);
  });

  it('with the whole server are not held against the image that was being made', async () => {
    const dataDir = join(folder, 'interrupted');
    const task = editTask({ positivePrompt: 'slow '.repeat(8).trim(), deliveryMethod: 'async' });
    for (let death = 0; death < 3; death++) {
      const server = await start(dataDir);
      if (death === 0) expect((await server.post([task])).status).toBe(200);
      await until(async () => (await server.health()).engine.state === 'busy');
      server.child.kill('SIGKILL');
      await server.exit;
    }
    const server = await start(dataDir);
    const { body } = await until(async () => {
      const answer = await poll(server, task);
      return isOpen(answer) ? undefined : answer;
    });
    expect(body.data).toMatchObject([{ status: 'success' }]);
  });

  it.runIf(existsSync('/proc/self/stat'))(
    'of an idle engine cost the next request nothing, however soon it comes',
    async () => {
      const server = await start(join(folder, 'idle'));
      for (let time = 0; time < 3; time++) {
        expect((await server.post([editTask({ positivePrompt: 'step' })])).status).toBe(200);
        process.kill(await until(() => server.enginePid()), 'SIGKILL');
      }
      expect((await server.post([editTask({ positivePrompt: 'step' })])).status).toBe(200);
    },
  );
});

describe('a stop signal', () => {
  it('lets the image that is being made end, and keeps what waits for the next start', async () => {
    const dataDir = join(folder, 'stopped');
    const first = await start(dataDir, { RETOUCH_SHUTDOWN_TIMEOUT: '60' });
    const task = editTask({
      positivePrompt: 'slow slow slow',
      deliveryMethod: 'async',
      numberResults: 3,
      seed: 1,
    });
    await first.post([task]);
    await until(async () => (await first.health()).engine.state === 'busy');
    expect(await first.stop()).toEqual({ code: 0, signal: null });
    const second = await start(dataDir);
    const [one] = (await poll(second, task)).body.data;
    expect(one).toMatchObject({ status: 'success', seed: 1 });
    await until(async () => !isOpen(await poll(second, task)));
    expect((await poll(second, task)).body.data.map(({ seed }) => seed)).toEqual([1, 2, 3]);
  });

  it('puts an image back that does not end in time', async () => {
    const dataDir = join(folder, 'put-back');
    const task = editTask({ positivePrompt: 'orphan', deliveryMethod: 'async' });
    const first = await start(dataDir, { RETOUCH_SHUTDOWN_TIMEOUT: '0' });
    await first.post([task]);
    await until(async () => (await first.health()).engine.state === 'busy');
    expect(await first.stop()).toEqual({ code: 0, signal: null });
    const server = await start(dataDir, { RETOUCH_SHUTDOWN_TIMEOUT: '0' });
    expect((await poll(server, task)).body.data).toMatchObject([{ status: 'processing' }]);
    const { body } = await server.post([{ taskType: 'cancelTask', taskUUID: task.taskUUID }]);
    expect(body.data).toMatchObject([{ cancelledResults: 1 }]);
  });
});

describe('a client that never reads its answer', () => {
  it('holds up neither the others nor the end of the server', async () => {
    const server = await start(join(folder, 'unread'), { RETOUCH_SHUTDOWN_TIMEOUT: '1' });
    const port = Number(new URL(server.url).port);
    const task = editTask({ positivePrompt: 'step', numberResults: 20, outputType: 'dataURI' });
    const body = JSON.stringify([task]);
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.pause();
    socket.write(`POST /v1 HTTP/1.1\r\nhost: here\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    await until(async () => (await poll(server, task)).body.data.length === 20);
    await until(async () => !isOpen(await poll(server, task)));
    expect((await server.post([editTask({ positivePrompt: 'step', taskUUID: randomUUID() })])).status).toBe(
      200,
    );
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    socket.destroy();
  });
});
