import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { look, runAbuse, startLimited } from '../soak/abuse.ts';

vi.setConfig({ testTimeout: 180_000 });

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-abuse-'));
});

afterEach(() => rm(folder, { recursive: true }));

// Descriptors are counted in /proc.
describe.runIf(existsSync('/proc/self/schedstat'))('a server with 256 descriptors and 512 MB of heap', () => {
  it('answers /health under broken requests and WebSockets, and holds nothing of them afterwards', async () => {
    const report = await runAbuse({ dataDir: folder, requests: 600, sockets: 400, seed: 7 });
    const { statuses, health, before, most, after } = report;
    expect(report.faults).toEqual([]);
    expect(report.ended).toBe(false);
    expect(statuses[500]).toBeUndefined();
    expect(Object.keys(statuses)).toEqual(expect.arrayContaining(['101', '200', '400', '401', '404']));
    expect(report.upgraded).toBeGreaterThan(0);
    expect(health.failures).toEqual([]);
    expect(health.times.length).toBeGreaterThan(20);
    expect(most.descriptors).toBeGreaterThan(before.descriptors + 100);
    // A child that the server has started meanwhile, for decoding, holds a few; a leak would hold hundreds.
    expect(after.descriptors).toBeLessThanOrEqual(before.descriptors + 8);
    expect(after.rss - before.rss).toBeLessThan(100 * 2 ** 20);
  });

  it('answers again after its descriptors were all taken', async () => {
    const server = await startLimited(folder, { RETOUCH_CONNECTION_LIMIT: '1000' });
    const sockets: Socket[] = [];
    try {
      const { descriptors } = await look(server);
      const port = Number(new URL(server.url).port);
      let closed = 0;
      for (let i = 0; i < 400; i++) {
        const socket = connect(port, '127.0.0.1').on('error', () => {});
        sockets.push(socket.on('close', () => closed++).resume());
      }
      // libuv accepts those beyond the limit with a spare descriptor and closes them.
      await expect.poll(() => closed, { timeout: 30_000 }).toBeGreaterThan(400 - 256);
      expect((await look(server)).descriptors).toBeGreaterThan(250);
      for (const socket of sockets) socket.destroy();
      await expect.poll(async () => (await look(server)).descriptors, { timeout: 30_000 }).toBe(descriptors);
      expect((await server.health()).status).toBe('ok');
      expect((await server.post('[]')).status).toBe(400);
    } finally {
      for (const socket of sockets) socket.destroy();
      await server.stop();
    }
  });
});
