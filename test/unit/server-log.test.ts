/** The log of a busy server is searched for what belongs in no log. */

import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { RetouchError } from '../../src/error.ts';
import { createBench, drawPicture, task } from './server-fixture.ts';

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
