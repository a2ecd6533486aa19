import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RetouchError } from '../../src/error.ts';
import { type Bench, createBench, task, taskUUID } from './fixture.ts';

const secondUUID = '0c3cf644-5f3e-4c3b-8c5c-2c3e6a8a1b11';
const anyUuid = expect.stringMatching(/^[0-9a-f-]{36}$/);
let bench: Bench;

beforeEach(async () => {
  bench = await createBench();
});

afterEach(() => bench.close());

describe('POST /v1', () => {
  it('answers an image with its URL, and the URL serves it', async () => {
    const { status, body } = await bench.post([{ ...task, seed: 7 }], { host: 'edit.example:7100' });
    expect(status).toBe(200);
    expect(body).toEqual({
      data: [
        { taskType: 'imageInference', taskUUID, imageUUID: anyUuid, imageURL: expect.any(String), seed: 7 },
      ],
    });
    const { imageUUID, imageURL } = body.data[0]!;
    expect(imageURL).toBe(`http://edit.example:7100/images/${imageUUID}.jpg`);
    const image = await bench.server.inject(new URL(String(imageURL)).pathname);
    expect(image.statusCode).toBe(200);
    expect(image.headers).toMatchObject({
      'content-type': 'image/jpeg',
      'x-content-type-options': 'nosniff',
    });
    expect(image.body).toBe('seed 7');
  });

  it('answers at / as well', async () => {
    const response = await bench.server.inject({
      method: 'POST',
      url: '/',
      payload: [{ taskType: 'ping', ping: true }],
    });
    expect(response.json()).toEqual({ data: [{ taskType: 'ping', pong: true }] });
  });

  it('does not care what the body is called', async () => {
    const { body } = await bench.post([{ taskType: 'ping' }], {
      'content-type': 'application/x-www-form-urlencoded',
    });
    expect(body).toEqual({ data: [{ taskType: 'ping', pong: true }] });
  });

  it.each([
    ['base64Data', 'imageBase64Data', Buffer.from('seed 1').toString('base64')],
    ['dataURI', 'imageDataURI', `data:image/webp;base64,${Buffer.from('seed 1').toString('base64')}`],
  ])('answers %s in the body and no URL', async (outputType, field, value) => {
    const { body } = await bench.post([{ ...task, seed: 1, outputType, outputFormat: 'WEBP' }]);
    expect(body.data).toEqual([
      { taskType: 'imageInference', taskUUID, imageUUID: anyUuid, [field]: value, seed: 1 },
    ]);
  });

  it('answers numberResults images with the seeds that follow, in order', async () => {
    const { body } = await bench.post([{ ...task, seed: 40, numberResults: 4 }]);
    expect(body.data.map(({ seed }) => seed)).toEqual([40, 41, 42, 43]);
    expect(new Set(body.data.map(({ imageUUID }) => imageUUID)).size).toBe(4);
    expect(bench.engine.plans.map(({ seed }) => seed)).toEqual([40n, 41n, 42n, 43n]);
  });

  it('keeps a seed exact to the last of 64 bits', async () => {
    const { text } = await bench.post([{ ...task, seed: 9223372036854775807n }]);
    expect(text).toContain('"seed":9223372036854775807}');
    expect(bench.engine.plans[0]?.seed).toBe(9223372036854775807n);
  });

  it('answers the cost of each image when it is asked for, and else nothing of it', async () => {
    const { body } = await bench.post([
      { ...task, includeCost: true, numberResults: 2, steps: 14 },
      { ...task, taskUUID: secondUUID, includeCost: false },
    ]);
    expect(body.data.map((item) => item.cost)).toEqual([0.005, 0.005, undefined]);
    expect(body.data[2]).not.toHaveProperty('cost');
  });

  it('gives a seed of 32 bits to a task without one', async () => {
    const { body } = await bench.post([task]);
    expect(body.data[0]?.seed).toBe(Number(bench.engine.plans[0]?.seed));
    expect(body.data[0]?.seed).toBeLessThan(2 ** 32);
  });

  it('answers tasks in the order asked, with what went wrong beside what went well', async () => {
    const { status, body } = await bench.post([
      { ...task, seed: 1 },
      { ...task, taskUUID: secondUUID, steps: 0 },
      { taskType: 'ping' },
    ]);
    expect(status).toBe(200);
    expect(body.data.map(({ taskType }) => taskType)).toEqual(['imageInference', 'ping']);
    expect(body.errors).toMatchObject([{ code: 'invalidSteps', taskUUID: secondUUID }]);
    expect(body.error).toEqual(body.errors?.[0]);
  });

  it('answers 400 and the error also as one object when nothing went well', async () => {
    const { status, body } = await bench.post([{ ...task, steps: 0, CFGScale: 99 }]);
    expect(status).toBe(400);
    expect(body.data).toEqual([]);
    expect(body.errors?.map(({ code }) => code)).toEqual(['invalidSteps', 'invalidCFGScale']);
    expect(body.error).toEqual(body.errors?.[0]);
  });

  it('answers 404 for a model that is not installed, and says what is', async () => {
    const { status, body } = await bench.post([{ ...task, model: 'runware:106@1' }]);
    expect(status).toBe(404);
    expect(body.error).toMatchObject({ code: 'modelNotFound', parameter: 'model', taskUUID });
    expect(body.error?.message).toContain('retouch:mini@1');
  });

  it('refuses a taskUUID that is under way', async () => {
    const gate = Promise.withResolvers<void>();
    bench.engine.script = () => gate.promise;
    const first = bench.post([task]);
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    const { status, body } = await bench.post([task]);
    expect([status, body.error?.code]).toEqual([400, 'conflictTaskUUID']);
    gate.resolve();
    expect((await first).status).toBe(200);
  });
});

describe('a body that is no array of tasks', () => {
  it.each([
    ['text', 'hello', 400, 'invalidBody'],
    ['empty', '', 400, 'invalidBody'],
    ['an object', '{}', 400, 'invalidBody'],
    ['an empty array', '[]', 400, 'arrayTooSmall'],
    ['40 MB of noise', randomBytes(40_000_000), 400, 'invalidBody'],
    ['101 tasks', JSON.stringify(Array(101).fill({ taskType: 'ping' })), 400, 'maxTasksExceeded'],
  ])('is an error when it is %s', async (_, payload, status, code) => {
    const answer = await bench.post(payload);
    expect([answer.status, answer.body.error?.code, answer.body.data]).toEqual([status, code, []]);
  });

  it('is an error when it is larger than the limit', async () => {
    const small = await createBench({ 'body-limit': '1000' });
    const { status, body } = await small.post(`["${'x'.repeat(1000)}"]`);
    await small.close();
    expect([status, body.error?.code]).toEqual([413, 'valueTooLarge']);
    expect(body.error?.message).toContain('1000 bytes');
  });
});

describe('an engine that fails', () => {
  it.each([
    ['engineCrashed', 500, 'engineCrashed'],
    ['checkpointTruncated', 500, 'checkpointTruncated'],
    ['notEnoughMemory', 503, 'notEnoughMemory'],
    ['imageUndecodable', 400, 'invalidReferenceImages'],
  ])('with %s is status %i, code %s', async (code, status, wireCode) => {
    bench.engine.script = () => Promise.reject(new RetouchError(code, 'It failed: found 1, expected 2.'));
    const answer = await bench.post([{ ...task, numberResults: 3 }]);
    expect(answer.status).toBe(status);
    expect(answer.body.errors).toMatchObject([
      { code: wireCode, message: 'It failed: found 1, expected 2.', taskType: 'imageInference', taskUUID },
    ]);
  });

  it('on one of three images leaves the others', async () => {
    bench.engine.script = async ({ seed }) => {
      if (seed === 2n) throw new RetouchError('engineCrashed', 'The engine process ended.');
    };
    const { status, body } = await bench.post([{ ...task, seed: 1, numberResults: 3 }]);
    expect(status).toBe(200);
    expect(body.data.map(({ seed }) => seed)).toEqual([1, 3]);
    expect(body.errors).toMatchObject([{ code: 'engineCrashed', taskUUID }]);
  });

  it('by a bug says nothing of the inside, and the log does', async () => {
    bench.engine.script = () => Promise.reject(new TypeError('secret inside'));
    const { status, body, text } = await bench.post([task]);
    expect([status, body.error?.code]).toEqual([500, 'internalServerError']);
    expect(text).not.toContain('secret inside');
    expect(bench.logged.join()).toContain('secret inside');
  });
});

describe('a queue that is full', () => {
  it('answers 429', async () => {
    const small = await createBench({ 'queue-limit': '1' });
    const { status, body } = await small.post([{ ...task, seed: 1, numberResults: 2 }]);
    await small.close();
    expect([status, body.data]).toEqual([429, []]);
    expect(body.error).toMatchObject({ code: 'rateLimitExceeded', taskUUID });
  });
});

describe('a client that goes away', () => {
  it('leaves a task that goes on, and can be polled for', async () => {
    const gate = Promise.withResolvers<void>();
    bench.engine.script = () => gate.promise;
    await bench.server.listen({ port: 0 });
    const { port } = bench.server.server.address() as AddressInfo;
    const client = new AbortController();
    const request = fetch(`http://127.0.0.1:${port}/v1`, {
      method: 'POST',
      body: JSON.stringify([{ ...task, numberResults: 2 }]),
      signal: client.signal,
    });
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    client.abort();
    await expect(request).rejects.toThrow();
    gate.resolve();
    const poll = async () => (await bench.post([{ taskType: 'getResponse', taskUUID }])).body.data;
    await expect.poll(poll).toMatchObject([{ status: 'success' }, { status: 'success' }]);
  });
});

describe('other addresses', () => {
  it('GET /health says how the engine is while it works', async () => {
    const gate = Promise.withResolvers<void>();
    bench.engine.script = () => gate.promise;
    const working = bench.post([task]);
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    const { statusCode, headers, body } = await bench.server.inject('/health');
    expect(statusCode).toBe(200);
    expect(headers['content-type']).toContain('application/json');
    expect(JSON.parse(body)).toMatchObject({
      status: 'ok',
      uptime: expect.any(Number),
      engine: { state: 'ready', restarts: 0, device: 'cpu', precision: 'auto' },
      queue: { depth: 1, limit: 1000 },
      models: ['retouch:mini@1'],
    });
    gate.resolve();
    await working;
  });

  it.each([
    ['GET', '/v1', 405, 'methodNotAllowed'],
    ['GET', '/nothing', 404, 'routeNotFound'],
    ['PUT', '/v1', 405, 'methodNotAllowed'],
    ['OPTIONS', '/nothing', 404, 'routeNotFound'],
    ['GET', '/images/../../etc/passwd', 404, 'routeNotFound'],
    ['GET', '/images/..%2f..%2fetc%2fpasswd', 404, 'mediaNotFound'],
    ['GET', `/images/${taskUUID}.png`, 404, 'mediaNotFound'],
    ['GET', '/images/%ff', 404, 'routeNotFound'],
  ] as const)('%s %s is status %i, code %s', async (method, url, status, code) => {
    const response = await bench.server.inject({ method, url });
    expect([response.statusCode, response.json().error.code]).toEqual([status, code]);
  });

  it('an image is only there under its own format', async () => {
    const { body } = await bench.post([{ ...task, outputFormat: 'PNG' }]);
    const path = new URL(String(body.data[0]?.imageURL)).pathname;
    expect((await bench.server.inject(path)).headers['content-type']).toBe('image/png');
    expect((await bench.server.inject(path.replace('.png', '.jpg'))).statusCode).toBe(404);
  });

  it('image URLs start with the configured address', async () => {
    const hidden = await createBench({ 'public-url': 'https://edit.example.com/retouch/' });
    const { body } = await hidden.post([task]);
    await hidden.close();
    expect(body.data[0]?.imageURL).toMatch(/^https:\/\/edit\.example\.com\/retouch\/images\//);
  });
});

describe('the log', () => {
  it('has a line per request and no prompt', async () => {
    await bench.post([task]);
    const lines = bench.logged.map((line) => JSON.parse(line));
    expect(lines).toMatchObject([{ level: 'info', message: 'POST /v1', status: 200 }]);
    expect(bench.logged.join()).not.toContain('sky');
  });
});
