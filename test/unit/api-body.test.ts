import { describe, expect, it } from 'vitest';
import { failureOf } from '../../src/api/errors.ts';
import { parseJson, stringifyJson } from '../../src/api/json.ts';
import { type Parsed, parseTasks } from '../../src/api/parse.ts';
import { toEnvelope } from '../../src/api/results.ts';
import { listedSizes, nearestSize } from '../../src/api/sizes.ts';
import { taskTypes } from '../../src/api/tasks/index.ts';

const context = { maxTasks: 3, explainMissingModel: () => undefined };

function codeOf(body: string | Uint8Array): string | undefined {
  try {
    parseTasks(typeof body === 'string' ? Buffer.from(body) : body, context);
    return undefined;
  } catch (error) {
    return failureOf(error)?.error.code;
  }
}

function firstError(parsed: Parsed | undefined) {
  return parsed && 'failures' in parsed ? parsed.failures[0]?.error : undefined;
}

describe('the body of a request', () => {
  it.each([
    ['nothing', ''],
    ['not JSON', 'hello'],
    ['cut short', '[{"taskType":'],
    ['an object', '{"taskType":"ping"}'],
    ['null', 'null'],
    ['a number', '12345678901234567890'],
    ['nested deeper than can be walked', `${'['.repeat(500_000)}1234567890123456789${']'.repeat(500_000)}`],
    ['more values than a request can need', `[${'1,'.repeat(1_000_001)}1]`],
    ['broken UTF-8', Uint8Array.of(0x5b, 0x22, 0xc3, 0x28, 0x22, 0x5d)],
  ])('is refused when it is %s', (_, body) => {
    expect(codeOf(body)).toBe('invalidBody');
  });

  it('has at least one task and no more than configured', () => {
    expect(codeOf('[]')).toBe('arrayTooSmall');
    expect(codeOf('[1,2,3,4]')).toBe('maxTasksExceeded');
  });

  it('may begin with a byte order mark', () => {
    expect(codeOf('\ufeff[{"taskType":"ping"}]')).toBeUndefined();
  });

  it('is judged element by element', () => {
    const body = Buffer.from(
      '[5,{"taskType":"imageInferense"},{"taskUUID":"50836053-a0ee-4cf5-b9d6-ae7c5d140ada"}]',
    );
    const [number, misspelt, untyped] = parseTasks(body, context).map(firstError);
    expect(number).toMatchObject({ code: 'invalidBody', message: expect.stringContaining('Element 0') });
    expect(misspelt).toMatchObject({
      code: 'unsupportedTaskType',
      allowedValues: Object.keys(taskTypes),
      message: expect.stringContaining("Did you mean 'imageInference'?"),
    });
    expect(untyped).toMatchObject({
      code: 'missingTaskType',
      taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada',
    });
  });

  it('has each taskUUID once', () => {
    const task = '{"taskType":"ping","taskUUID":"50836053-a0ee-4cf5-b9d6-ae7c5d140ada"}';
    const [first, second] = parseTasks(Buffer.from(`[${task},${task.replace('ada', 'ADA')}]`), context);
    expect(first).toHaveProperty('task');
    expect(firstError(second)?.code).toBe('conflictTaskUUID');
  });
});

describe('JSON', () => {
  it('keeps integers beyond 2^53 exact both ways', () => {
    const text = '{"seed":9223372036854775807,"small":7,"float":0.1,"text":"9223372036854775807"}';
    expect(parseJson(text)).toEqual({
      seed: 9223372036854775807n,
      small: 7,
      float: 0.1,
      text: '9223372036854775807',
    });
    expect(stringifyJson(parseJson(text))).toBe(text);
  });

  it('leaves numbers with a point or an exponent as numbers', () => {
    expect(parseJson('[1e30,0.12345678901234567890,-9223372036854775808]')).toEqual([
      1e30,
      0.12345678901234568,
      -9223372036854775808n,
    ]);
  });
});

describe('an answer', () => {
  const item = { taskType: 'ping', pong: true } as const;
  const failure = { status: 404, error: { code: 'modelNotFound', message: '…' } };

  it('has no errors key when everything went well', () => {
    expect(toEnvelope([{ item }])).toEqual({ status: 200, body: { data: [item] } });
  });

  it('has both lists and status 200 when something went well', () => {
    const { status, body } = toEnvelope([{ failure }, { item }]);
    expect(status).toBe(200);
    expect(body).toEqual({ data: [item], errors: [failure.error], error: failure.error });
  });

  it('has the status of the first error when nothing did', () => {
    expect(toEnvelope([{ failure }])).toMatchObject({
      status: 404,
      body: { data: [], errors: [failure.error] },
    });
  });
});

describe('the nearest size', () => {
  it.each([
    [4000, 3000, [1184, 880]],
    [3000, 4000, [880, 1184]],
    [1, 1, [1024, 1024]],
    [10_000, 100, [1568, 672]],
    [1920, 1080, [1392, 752]],
  ])('of %i × %i is %j', (width, height, size) => {
    expect(nearestSize(listedSizes, width, height)).toEqual(size);
  });

  it('of every listed size is itself', () => {
    for (const size of listedSizes) expect(nearestSize(listedSizes, ...size)).toEqual(size);
  });
});
