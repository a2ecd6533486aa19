import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Bench, createBench, task } from './fixture.ts';

const ping = { taskType: 'ping', ping: true };
const authentication = (apiKey: string) => ({ taskType: 'authentication', apiKey });
const session = {
  taskType: 'authentication',
  connectionSessionUUID: expect.stringMatching(/^[0-9a-f-]{36}$/),
};

describe('a server without keys', () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await createBench();
  });
  afterEach(() => bench.close());

  it('takes everyone and any key', async () => {
    expect((await bench.post([ping])).status).toBe(200);
    expect((await bench.post([ping], { authorization: 'Bearer anything' })).status).toBe(200);
    expect((await bench.post([authentication('anything')])).body).toEqual({ data: [session] });
  });

  it('does not answer a key given along with tasks, which clients would take for their result', async () => {
    expect((await bench.post([authentication('anything'), ping])).body.data).toEqual([
      { taskType: 'ping', pong: true },
    ]);
  });

  it('refuses pages of other sites in the browser of this machine', async () => {
    for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1.evil.example']) {
      const { status, body } = await bench.post([ping], { origin });
      expect([status, body.error?.code], origin).toEqual([403, 'forbidden']);
    }
    for (const origin of ['http://127.0.0.1:7100', 'http://localhost:3000', 'http://[::1]:7100']) {
      expect((await bench.post([ping], { origin })).status, origin).toBe(200);
    }
  });
});

describe('a server with keys', () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await createBench({ 'api-keys': 'first-key,second-key' });
  });
  afterEach(() => bench.close());

  it.each(['first-key', 'second-key'])('takes %s as Bearer, as api-key and as a task', async (key) => {
    expect((await bench.post([ping], { authorization: `Bearer ${key}` })).status).toBe(200);
    expect((await bench.post([ping], { 'api-key': key })).status).toBe(200);
    expect((await bench.post([authentication(key), ping])).status).toBe(200);
    expect((await bench.post([authentication(key)])).body).toEqual({ data: [session] });
  });

  it.each(['third-key', 'first-ke', 'first-key2', ''])('refuses the key %j', async (key) => {
    const answers = [await bench.post([authentication(key)]), await bench.post([authentication(key), task])];
    if (key !== '') {
      answers.push(await bench.post([ping], { authorization: `Bearer ${key}` }));
      answers.push(await bench.post([ping], { 'api-key': key }));
    }
    for (const { status, body } of answers) {
      expect(status).toBe(401);
      expect(body.error).toEqual({
        code: 'invalidApiKey',
        message: 'Invalid API key: it is not one of those configured on this server.',
        parameter: 'apiKey',
        type: 'string',
        taskType: 'authentication',
      });
    }
    expect(bench.engine.plans).toEqual([]);
  });

  it('asks for a key when there is none, or not in the first task', async () => {
    for (const tasks of [[ping], [ping, authentication('first-key')], [{ taskType: 'authentication' }]]) {
      const { status, body } = await bench.post(tasks);
      expect([status, body.error?.code]).toEqual([401, 'missingApiKey']);
    }
  });

  it('answers /health to everyone', async () => {
    expect((await bench.server.inject('/health')).statusCode).toBe(200);
  });

  it('writes no key into its log', async () => {
    await bench.post([ping], { authorization: 'Bearer first-key' });
    await bench.post([ping], { authorization: 'Bearer third-key' });
    expect(bench.logged.join()).not.toMatch(/-key/);
  });
});
