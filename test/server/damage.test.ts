/** Rows of the database that a damaged disk has changed, and images that are gone from it. */

import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RetouchError } from '../../src/error.ts';
import { Database } from '../../src/store/db.ts';
import { type Bench, openBench, task, taskUUID, temporaryFolder } from './fixture.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let bench: Bench;

beforeEach(async () => {
  folder = await temporaryFolder();
  bench = await openBench(folder.path);
});

afterEach(async () => {
  await bench.close();
  await folder[Symbol.asyncDispose]();
});

const ask = (taskType: string) => bench.post([{ taskType, taskUUID }]);

/** While no server runs. */
async function change(sql: string): Promise<void> {
  await bench.close();
  const db = Database.open(join(folder.path, 'retouch.db'));
  expect(db.run(sql)).toBeGreaterThan(0);
  db.close();
  bench = await openBench(folder.path);
}

describe('a damaged row', () => {
  it.each([
    ['tasks', 'terms', 'getResponse'],
    ['tasks', 'terms', 'getTaskDetails'],
    ['tasks', 'request', 'getTaskDetails'],
    ['results', 'item', 'getResponse'],
    ['results', 'item', 'getTaskDetails'],
    ['results', 'seed', 'getResponse'],
    ['results', 'warnings', 'getTaskDetails'],
  ])('%s.%s is told as a damaged database by %s', async (table, column, taskType) => {
    await bench.post([task]);
    await change(`UPDATE ${table} SET ${column} = '{"task\\x00,,'`);
    const { body, text } = await ask(taskType);
    expect(body.errors?.map(({ code }) => code)).toEqual(['databaseCorrupt']);
    expect(body.errors?.[0]?.message).toMatch(/^The database is damaged: .+ restore it from a backup\.$/);
    expect(text).not.toContain(folder.path);
  });

  it.each([
    ['tasks', 'terms'],
    ['results', 'plan'],
  ])('%s.%s of a task that waits ends that task, and the others are made', async (table, column) => {
    bench.engine.script = (_, signal) =>
      new Promise((_, fail) =>
        signal.addEventListener('abort', () => fail(new RetouchError('engineAborted', 'Stopped.'))),
      );
    await bench.post([{ ...task, deliveryMethod: 'async' }]);
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    await change(`UPDATE ${table} SET ${column} = '{"task'`);
    const other = await bench.post([{ ...task, taskUUID: randomUUID() }]);
    expect(other.status).toBe(200);
    await expect.poll(async () => (await ask('getResponse')).body.errors?.[0]?.code).toBe('databaseCorrupt');
    expect((await bench.server.inject('/health')).json().queue.depth).toBe(0);
  });
});

describe('an image that is gone from the disk', () => {
  it('is no success of getResponse and getTaskDetails', async () => {
    await bench.post([task]);
    await rm(join(folder.path, 'images'), { recursive: true });
    const polled = (await ask('getResponse')).body;
    expect([polled.data, polled.errors?.map(({ code }) => code)]).toEqual([[], ['mediaNotFound']]);
    const { response } = (await ask('getTaskDetails')).body.data[0] as { response: Record<string, unknown> };
    expect(response).toEqual({ errors: [expect.objectContaining({ code: 'mediaNotFound' })] });
  });
});

describe('the text of an error', () => {
  it('names files to a client and no folder', async () => {
    bench.engine.script = async () => {
      throw new RetouchError('checkpointTruncated', 'The file /srv/models/a b/flux.safetensors is cut off.');
    };
    const { body } = await bench.post([task]);
    expect(body.error).toMatchObject({ code: 'checkpointTruncated' });
    expect(body.error?.message).toBe('The file flux.safetensors is cut off.');
    expect(bench.logged.join()).toContain('/srv/models');
  });

  it('names no folder of the data directory or of an installed model, whatever they are called', async () => {
    const path = join(folder.path, 'embedded', 'a, b: c', 'x.json');
    bench.engine.script = async () => {
      throw new RetouchError('modelConfigInvalid', `${path} is not JSON; it is beside ${folder.path}.`);
    };
    const { body } = await bench.post([task]);
    expect(body.error?.message).toBe(`a, b: c/x.json is not JSON; it is beside ${basename(folder.path)}.`);
  });
});

describe('GET /ready', () => {
  it('is 503 and says so while nothing can be written', async () => {
    await rm(join(folder.path, 'images'), { recursive: true });
    const response = await bench.server.inject('/ready');
    expect([response.statusCode, response.json().error.code]).toEqual([503, 'serverUnavailable']);
    expect(response.json().error.message).toMatch(/^The data directory cannot be written to: ENOENT\.$/);
  });

  it('is 503 and says so while the engine is silent', async () => {
    const stalled =
      'The engine has been silent for 95.0 s while computing step 3 of 28; it is replaced after 120.0 s.';
    bench.engine.problem = stalled;
    const response = await bench.server.inject('/ready');
    expect([response.statusCode, response.json().error.message]).toEqual([503, stalled]);
  });
});
