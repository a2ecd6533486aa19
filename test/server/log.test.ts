/** Searches the log of a busy server for secrets. */

import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { RetouchError } from '../../src/error.ts';
import { createLog } from '../../src/log.ts';
import { createBench, drawPicture, task } from './fixture.ts';

it('the log of a busy server has no key, no prompt, no picture and no token of a URL', async () => {
  const bench = await createBench({ 'api-keys': 'configured-secret-key', 'queue-limit': '8' });
  const stored = bench.keys.add('laptop').key;
  const picture = (await drawPicture(64, 48)).toString('base64');
  const prompt = 'a very private sentence about someone';
  const secrets = [
    'configured-secret-key',
    stored,
    'wrong-secret-key',
    prompt,
    'private',
    'token=abc',
    picture.slice(0, 40),
  ];
  try {
    bench.engine.script = async ({ seed }) => {
      if (seed === 666n) throw new RetouchError('engineCrashed', 'The engine died.');
      if (seed === 667n) throw new Error('a bug');
    };
    const keys = ['configured-secret-key', stored, 'wrong-secret-key', undefined];
    const make = (fields: object) => ({
      ...task,
      taskUUID: randomUUID(),
      positivePrompt: prompt,
      negativePrompt: prompt,
      ...fields,
    });
    const bodies = [
      [make({})],
      [make({ inputs: { referenceImages: [picture] } })],
      [make({ inputs: { referenceImages: [`data:image/png;base64,${picture.slice(0, 60)}`] } })],
      [make({ inputs: { referenceImages: ['http://127.0.0.1:9/photo.png?token=abc'] } })],
      [make({ steps: 0, unknown: prompt })],
      [make({ numberResults: 20 })],
      [{ taskType: 'authentication', apiKey: stored }, make({})],
      [{ taskType: 'imageUpload', taskUUID: randomUUID(), image: picture }],
      [{ taskType: 'modelSearch', taskUUID: randomUUID(), search: prompt }],
      [prompt],
    ];
    const answers = await Promise.all(
      keys.flatMap((key) =>
        bodies.map((body) => bench.post(body, key === undefined ? {} : { authorization: `Bearer ${key}` })),
      ),
    );
    // Everything happened: success, refusal and a full queue; below, a crash and a bug.
    const statuses = new Set(answers.map(({ status }) => status));
    for (const status of [200, 400, 401, 429]) expect([...statuses]).toContain(status);
    const authorization = `Bearer ${stored}`;
    for (const seed of [666, 667]) {
      expect(
        (await bench.post([make({ seed, numberResults: 2 })], { authorization })).body.error,
      ).toBeDefined();
    }
    await bench.server.inject(`/images/${randomUUID()}.png?token=abc`);
    await bench.server.inject('/nothing?token=abc&key=configured-secret-key');
  } finally {
    await bench.close();
  }
  const log = bench.logged.join('');
  expect(bench.logged.length).toBeGreaterThan(40);
  for (const seen of ['POST /v1', 'engineCrashed', 'a bug']) expect(log).toContain(seen);
  for (const secret of secrets) expect(log.includes(secret), `the log has '${secret}'`).toBe(false);
  expect(Math.max(...bench.logged.map((line) => line.length))).toBeLessThan(5000);
});

describe('the rule', () => {
  const write = (message: string, fields: Record<string, unknown>) => {
    const lines: string[] = [];
    const log = createLog('info', (line) => lines.push(line)).child({ request: 7 });
    log.debug(message, fields);
    log.warn(message, fields);
    expect(lines).toHaveLength(1);
    return JSON.parse(lines[0]!);
  };

  it('hides fields by their names, at any depth, and bytes and base64 by what they are', () => {
    const bytes = Buffer.alloc(5000, 7);
    const base64 = bytes.toString('base64');
    const line = write('Something happened.', {
      apiKey: 'k1',
      nested: [
        { positivePrompt: 'p1', authorization: 'a1', webhookSecret: 's1', steps: 28, seed: 2n ** 63n },
      ],
      bytes,
      picture: base64,
      uri: `data:image/png;base64,${base64}`,
    });
    expect(line).toEqual({
      level: 'warn',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      message: 'Something happened.',
      request: 7,
      apiKey: '[hidden]',
      nested: [
        {
          positivePrompt: '[hidden]',
          authorization: '[hidden]',
          webhookSecret: '[hidden]',
          steps: 28,
          seed: '9223372036854775808',
        },
      ],
      bytes: '[5000 bytes]',
      picture: '[base64]',
      uri: 'data:[image]',
    });
  });

  it('hides keys, queries and addresses of pictures in sentences and errors', () => {
    const key = `rt_${'a'.repeat(43)}`;
    const uuid = randomUUID();
    const text = `Bearer abc.def sent ${key} to https://x.example/hook?token=1 for /images/${uuid}.png`;
    const { message, error } = write(text, { error: new Error(text) });
    const cleaned = 'Bearer [hidden] sent [hidden] to https://x.example/hook?… for /images/….png';
    expect(message).toBe(cleaned);
    expect(error.split('\n', 1)[0]).toBe(`Error: ${cleaned}`);
    expect(error).toContain('log.test');
  });

  it('bounds what one line may have', () => {
    const deep: Record<string, unknown> = {};
    deep.self = deep;
    const line = write('x '.repeat(100_000), {
      deep,
      many: Array(10_000).fill('a b'),
      text: 'y '.repeat(100_000),
    });
    expect(JSON.stringify(line).length).toBeLessThan(20_000);
  });

  it('has the warnings of Fastify as lines of the same log', async () => {
    const bench = await createBench();
    bench.server.log.warn({ err: new Error('it broke') }, 'A warning of Fastify.');
    await bench.close();
    expect(bench.logged.map((line) => JSON.parse(line))).toMatchObject([
      { level: 'warn', message: 'A warning of Fastify.', error: expect.stringContaining('it broke') },
    ]);
  });

  it('has no address of a picture', async () => {
    const bench = await createBench();
    const { body } = await bench.post([task]);
    const url = new URL(String(body.data[0]!.imageURL));
    await bench.server.inject(url.pathname);
    await bench.server.inject(`/${url.pathname}`);
    await bench.close();
    expect(bench.logged.filter((line) => line.includes('GET /'))).toHaveLength(2);
    expect(bench.logged.join()).not.toContain(String(body.data[0]!.imageUUID));
  });
});
