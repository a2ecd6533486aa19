/** Every hostile request gets an envelope with a status below 500. */

import { crc32, deflateSync } from 'node:zlib';
import fc from 'fast-check';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringifyJson } from '../../src/api/json.ts';
import type { ObjectSchema, Schema } from '../../src/api/schema.ts';
import { taskTypes } from '../../src/api/tasks/index.ts';
import { type Bench, createBench, drawPicture, task } from './fixture.ts';

let bench: Bench;

beforeAll(async () => {
  bench = await createBench({ 'fetch-timeout': '1' });
});

afterAll(() => bench.close());

async function send(body: string | Buffer): Promise<number> {
  const { status, body: answer } = await bench.post(body);
  expect(answer.data, body.toString().slice(0, 200)).toBeInstanceOf(Array);
  expect(status, `${body.toString().slice(0, 500)} → ${stringifyJson(answer).slice(0, 500)}`).toBeLessThan(
    500,
  );
  if (status !== 200) {
    expect(answer.errors?.length).toBeGreaterThan(0);
    expect(answer.errors![0]).toEqual(answer.error);
    for (const { code, message } of answer.errors!)
      expect([typeof code, typeof message]).toEqual(['string', 'string']);
    // Answers do not echo the request.
    expect(stringifyJson(answer).length).toBeLessThan(200_000);
  }
  return status;
}

const runs = { numRuns: 250, seed: 20260611 };
const anything = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  fc.constantFrom<unknown>(
    ...[
      null,
      '',
      '0',
      0,
      -0,
      1e308,
      5e-324,
      2 ** 53,
      2n ** 63n,
      10n ** 40n,
      [],
      {},
      [null],
      '\u0000',
      '\ud800',
    ],
    ...[
      '__proto__',
      'constructor',
      'NaN',
      'data:,',
      'data:image/png;base64,',
      'file:///etc/passwd',
      '../../etc',
    ],
  ),
);

/** Objects that have the properties of a schema, with a value of any kind in each. */
function almost(schema: Schema): fc.Arbitrary<unknown> {
  if (schema.type === 'object') {
    const properties = Object.entries(schema.properties).map(([name, inner]) => [
      name,
      fc.oneof({ weight: 3, arbitrary: right(inner) }, { weight: 1, arbitrary: almost(inner) }),
    ]);
    return fc.oneof(
      { weight: 9, arbitrary: fc.record(Object.fromEntries(properties), { requiredKeys: [] }) },
      { weight: 1, arbitrary: anything },
    );
  }
  return schema.type === 'array'
    ? fc.oneof(fc.array(almost(schema.items), { maxLength: 4 }), anything)
    : anything;
}

/** Values that are right, at the bounds mostly. */
function right(schema: Schema): fc.Arbitrary<unknown> {
  switch (schema.type) {
    case 'string':
      if (schema.allowed) return fc.constantFrom(...schema.allowed);
      // No URL: another test covers requests to other hosts.
      return schema.format === 'uuid' ? fc.uuid() : fc.string({ maxLength: 40 });
    case 'integer':
      return fc.integer({ min: schema.min ?? -9, max: schema.max ?? 2000 });
    case 'long':
      return fc.bigInt(schema.min, schema.max);
    case 'float':
      return fc.integer({ min: 0, max: 100 }).map((hundredths) => hundredths / 100);
    case 'boolean':
      return fc.boolean();
    case 'array':
      return fc.array(right(schema.items), { maxLength: 3 });
    case 'object': {
      const properties = Object.entries(schema.properties).map(([name, inner]) => [name, right(inner)]);
      return fc.record(Object.fromEntries(properties), { requiredKeys: [] });
    }
  }
}

describe('any JSON', () => {
  it('as the body', async () => {
    await fc.assert(
      fc.asyncProperty(anything, async (value) => {
        expect(await send(stringifyJson(value) ?? 'undefined')).toBeGreaterThanOrEqual(400);
      }),
      runs,
    );
  });

  it('as the tasks', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anything, { maxLength: 5 }),
        async (tasks) => void (await send(stringifyJson(tasks))),
      ),
      runs,
    );
  });

  const schemas = Object.entries(taskTypes) as [string, { schema: ObjectSchema }][];
  it.each(schemas)('in the parameters of %s', async (name, { schema }) => {
    await fc.assert(
      fc.asyncProperty(almost(schema), async (fields) => {
        const known = typeof fields === 'object' && fields !== null ? fields : {};
        await send(stringifyJson([{ ...known, taskType: name }]));
      }),
      { ...runs, numRuns: 120 },
    );
  });

  it('beside a task that is right leaves that one alone', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uuid(), fc.object({ maxDepth: 2 }), async (taskUUID, other) => {
        const body = stringifyJson([other, { ...task, taskUUID, numberResults: 1 }]);
        const { status, body: answer } = await bench.post(body);
        expect([status, answer.data[0]?.taskUUID]).toEqual([200, taskUUID]);
      }),
      { ...runs, numRuns: 50 },
    );
  });

  it('as bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        expect(await send(Buffer.from(bytes))).toBeGreaterThanOrEqual(400);
      }),
      runs,
    );
  });
});

describe('a body made to hurt', () => {
  const wrap = (field: string) => `[${JSON.stringify(task).slice(0, -1)},${field}}]`;
  const many = (item: string) => `[${`${item},`.repeat(99_999)}${item}]`;
  const bodies: [string, string | Buffer][] = [
    ['100 000 open brackets', '['.repeat(100_000)],
    ['arrays 100 000 deep', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
    ['objects 100 000 deep', `[${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}]`],
    ['a deep value in a parameter', wrap(`"inputs":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`)],
    ['a number of 100 000 digits', wrap(`"seed":${'9'.repeat(100_000)}`)],
    ['a float of 100 000 digits', wrap(`"CFGScale":0.${'3'.repeat(100_000)}`)],
    ['an exponent beyond numbers', wrap('"CFGScale":1e999999999')],
    ['a negative zero', wrap('"seed":-0')],
    ['a key of a megabyte', wrap(`"${'k'.repeat(1_000_000)}":1`)],
    ['100 000 keys', wrap(Array.from({ length: 100_000 }, (_, i) => `"k${i}":1`).join())],
    ['the same key often', wrap(Array(1000).fill('"steps":3').join())],
    [
      'prototype keys',
      wrap('"__proto__":{"steps":0},"constructor":{"prototype":{}},"toString":1,"hasOwnProperty":1'),
    ],
    ['prototype keys inside', wrap('"inputs":{"__proto__":{"referenceImages":["x"]},"valueOf":1}')],
    [
      'a prototype as task type',
      '[{"taskType":"__proto__"},{"taskType":"constructor"},{"taskType":"toString"}]',
    ],
    ['a task type of a megabyte', `[{"taskType":"${'x'.repeat(1_000_000)}"}]`],
    ['a UUID of a megabyte', `[{"taskType":"ping","taskUUID":"${'a'.repeat(1_000_000)}"}]`],
    ['a model of a megabyte', wrap(`"model":"${'m'.repeat(1_000_000)}"`)],
    ['a LoRA of a megabyte', wrap(`"lora":[{"model":"${'m'.repeat(1_000_000)}"}]`)],
    [
      'an IP-Adapter of a megabyte',
      wrap(`"ipAdapters":[{"model":"${'m'.repeat(1_000_000)}","guideImages":["x"]}]`),
    ],
    [
      'a URL of a megabyte',
      wrap(`"inputs":{"referenceImages":["http://127.0.0.1/${'u'.repeat(1_000_000)}"]}`),
    ],
    ['a face prompt of a megabyte', wrap(`"ultralytics":{"positivePrompt":"${'p'.repeat(1_000_000)}"}`)],
    ['a scheduler of a megabyte', wrap(`"scheduler":"${'s'.repeat(1_000_000)}"`)],
    ['100 000 references', wrap(`"inputs":{"referenceImages":${many('"x"')}}`)],
    ['100 000 LoRAs', wrap(`"lora":${many('{}')}`)],
    ['100 000 IP-Adapters', wrap(`"ipAdapters":${many('{"model":"a"}')}`)],
    ['100 000 guide images', wrap(`"ipAdapters":[{"model":"a","guideImages":${many('"x"')}}]`)],
    ['100 000 tasks', many('{}')],
    ['100 000 output types', wrap(`"outputType":${many('"URL"')}`)],
    ['lone surrogates', wrap('"positivePrompt":"\\ud800\\udfff\\ud800"')],
    ['NUL characters', wrap('"positivePrompt":"\\u0000\\u0000","model":"\\u0000"')],
    ['turned text', wrap('"positivePrompt":"\u202egnp.\u202c\u2066"')],
    ['broken UTF-8', Buffer.from([0x5b, 0x22, 0xff, 0xfe, 0x22, 0x5d])],
    ['overlong UTF-8', Buffer.from([0x5b, 0x22, 0xc0, 0xaf, 0x22, 0x5d])],
    ['UTF-16', Buffer.from('[{"taskType":"ping"}]', 'utf16le')],
    ['XML', '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'],
    ['a form', 'taskType=ping&taskUUID=1'],
    ['gzip', Buffer.from('1f8b0800000000000003', 'hex')],
  ];

  it.each(bodies)('%s', async (_, body) => {
    await send(body);
  });
});

describe('a picture made to hurt', () => {
  const edit = async (picture: Buffer) => {
    const { status, body } = await bench.post([
      {
        ...task,
        taskUUID: crypto.randomUUID(),
        inputs: { referenceImages: [picture.toString('base64')] },
      },
    ]);
    expect(status).toBeLessThan(500);
    return [status, body.error?.code];
  };

  it('a PNG that says it is 50 000 × 50 000', async () => {
    expect(await edit(png(50_000, 50_000, deflateSync(Buffer.alloc(1000))))).toEqual([
      400,
      'invalidReferenceImages',
    ]);
  });

  it('a PNG whose 100 kB grow to 100 MB', async () => {
    const bomb = png(64, 64, deflateSync(Buffer.alloc(100_000_000), { level: 9 }));
    expect(bomb.length).toBeLessThan(200_000);
    const before = process.memoryUsage().rss;
    await edit(bomb);
    expect(process.memoryUsage().rss - before).toBeLessThan(80_000_000);
  });

  it('a PNG whose text grows to 100 MB', async () => {
    const text = Buffer.concat([
      Buffer.from('Comment\0\0'),
      deflateSync(Buffer.alloc(100_000_000), { level: 9 }),
    ]);
    const whole = await drawPicture(64, 64);
    const bomb = Buffer.concat([whole.subarray(0, 33), chunk('zTXt', text), whole.subarray(33)]);
    await edit(bomb);
  });

  it.each(['png', 'jpg', 'webp'] as const)('a %s cut at any length', async (format) => {
    const whole = await drawPicture(64, 48, format);
    for (const part of [1, 2, 4, 8, 12, 16, 20, 30, 33, 40, 60, 100, whole.length - 1]) {
      await edit(whole.subarray(0, part));
    }
  });

  it.each(['png', 'jpg', 'webp'] as const)('a %s with any byte changed', async (format) => {
    const whole = await drawPicture(32, 24, format);
    for (let i = 0; i < whole.length; i += Math.ceil(whole.length / 40)) {
      const bad = Buffer.from(whole);
      bad[i]! ^= 0xff;
      await edit(bad);
    }
  });

  it('an SVG in the clothes of a WebP', async () => {
    const svg = Buffer.from('RIFF\0\0\0\0WEBP<svg xmlns="http://www.w3.org/2000/svg"/>');
    expect(await edit(svg)).toEqual([400, 'invalidReferenceImages']);
  });

  it('an animation of fifty frames is its first', async () => {
    const frames = Array.from({ length: 50 }, (_, i) => ({
      create: { width: 16, height: 16, channels: 3 as const, background: { r: i, g: 0, b: 0 } },
    }));
    const images = await Promise.all(frames.map((frame) => sharp(frame).png().toBuffer()));
    const animation = await sharp(images, { join: { animated: true } })
      .webp()
      .toBuffer();
    expect((await edit(animation))[0]).toBe(200);
  });
});

function png(width: number, height: number, data: Buffer): Buffer {
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', data),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  crc.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, crc]);
}
