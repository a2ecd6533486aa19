import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readForm } from '../../src/api/openai/form.ts';
import { requestExamples, requestSchemas } from '../../src/api/openai/requests.ts';
import { RetouchError } from '../../src/error.ts';
import { formOf, type Part, toInjection } from '../fixtures/openai-clients.ts';
import { type Bench, createBench, drawPicture } from './fixture.ts';

let bench: Bench;

beforeEach(async () => {
  bench = await createBench();
});

afterEach(() => bench.close());

type Body = {
  data: { seed: number; url?: string }[];
  size?: string;
  quality?: string;
  errors?: object[];
  error?: { message: string; param: string | null; code: string; type: string; allowedValues?: unknown[] };
};

async function post(path: string, body: object | readonly Part[]) {
  const response = await bench.server.inject(toInjection({ path: `/v1/images/${path}`, headers: {}, body }));
  return { status: response.statusCode, headers: response.headers, body: response.json() as Body };
}

const generate = (fields: object) => post('generations', { prompt: 'a red car', ...fields });

describe('size', () => {
  it.each([
    ['1024x1024', '1024x1024'],
    ['256x256', '1024x1024'],
    ['1536x1024', '1248x832'],
    ['1024x1536', '832x1248'],
    ['1792x1024', '1328x800'],
    ['99999x1', '1568x672'],
    ['auto', '1024x1024'],
  ])('%s is drawn at %s, and the answer says so', async (size, drawn) => {
    const { status, body } = await generate({ size });
    expect([status, body.size]).toEqual([200, drawn]);
  });

  it.each(['big', '0x5', '1024', '1024x', '-1x1', '100000x1', 1024])('%j is refused', async (size) => {
    const { status, body } = await generate({ size });
    expect([status, body.error]).toEqual([
      400,
      expect.objectContaining({ param: 'size', code: 'invalidSize' }),
    ]);
  });

  it('auto takes the shape of the first picture', async () => {
    const image = `data:image/png;base64,${(await drawPicture(500, 1000)).toString('base64')}`;
    const { body } = await post('edits', { image, prompt: 'make the sky pink' });
    expect(body.size).toBe('720x1456');
  });
});

describe('quality', () => {
  it.each([
    ['low', 14, 'low'],
    ['medium', 28, 'medium'],
    ['standard', 28, 'medium'],
    ['auto', 28, 'medium'],
    ['high', 42, 'high'],
    ['hd', 42, 'high'],
    ['max', 50, 'max'],
  ])('%s takes %i steps of a model of 28', async (quality, steps, said) => {
    const { body } = await generate({ quality });
    expect([bench.engine.plans[0]?.steps, body.quality]).toEqual([steps, said]);
  });

  it('gives way to num_inference_steps', async () => {
    await generate({ quality: 'low', num_inference_steps: 9 });
    expect(bench.engine.plans[0]?.steps).toBe(9);
  });
});

it('every extra parameter reaches the plan', async () => {
  await generate({
    seed: 9223372036854775n,
    guidance_scale: 3.5,
    true_cfg_scale: 2,
    negative_prompt: 'blurred',
    output_format: 'jpeg',
    output_compression: 5,
  });
  expect(bench.engine.plans[0]).toMatchObject({
    seed: 9223372036854775n,
    guidance: 3.5,
    trueCfg: 2,
    negativePrompt: 'blurred',
    output: { format: 'jpg', quality: 20 },
  });
});

it('parameters of OpenAI that nothing here depends on are taken, and change nothing', async () => {
  const fields = {
    user: 'ann',
    moderation: 'low',
    style: 'vivid',
    input_fidelity: 'high',
    complexity: 'low',
  };
  const { status } = await generate({ ...fields, safety_identifier: 'a1', seed: 5 });
  await generate({ seed: 5 });
  expect(status).toBe(200);
  expect(bench.engine.plans[0]).toEqual(bench.engine.plans[1]);
});

describe('what is wrong is said in the words of the request', () => {
  it.each([
    [{ prompt: undefined }, 'prompt', 'missingPrompt', /'prompt'/],
    [{ prompt: 'x' }, 'prompt', 'invalidPromptLength', /'prompt': found 1 characters, expected 2 to 3000/],
    [{ n: 0 }, 'n', 'invalidN', /'n': found 0, expected an integer from 1 to 10/],
    [
      { quality: 'best' },
      'quality',
      'invalidQuality',
      /'quality': found 'best', expected one of 'auto', 'low'/,
    ],
    [{ output_format: 'gif' }, 'output_format', 'invalidOutputFormat', /'output_format': found 'gif'/],
    [{ background: 'transparent' }, 'background', 'unsupportedParameter', /only 'auto', 'opaque' works/],
    [{ partial_images: 4 }, 'partial_images', 'invalidPartialImages', /from 0 to 3/],
    [{ guidance_scale: 21 }, 'guidance_scale', 'invalidGuidanceScale', /from 0 to 20/],
    [{ stepz: 3 }, 'stepz', 'unknownParameter', /'stepz'/],
    [
      { num_inference_step: 3 },
      'num_inference_step',
      'unknownParameter',
      /did you mean 'num_inference_steps'/,
    ],
    [
      { lora: [{ model: 'no:such@1' }] },
      'lora.model',
      'invalidLoraModel',
      /'lora\[0\].model'.*not installed/,
    ],
  ])('%j', async (fields, param, code, message) => {
    const { status, body } = await generate(fields);
    expect([status, body.error?.param, body.error?.code]).toEqual([400, param, code]);
    expect(body.error?.message).toMatch(message);
    expect(body.error?.type).toBe('invalid_request_error');
    expect(bench.engine.plans).toEqual([]);
  });

  it('with all that is wrong in one message', async () => {
    const { body } = await generate({ n: 11, quality: 'best' });
    expect(body.error?.message.split('\n')).toHaveLength(2);
  });

  it('with the values that are allowed', async () => {
    const { body } = await generate({ output_format: 'tiff' });
    expect(body.error?.allowedValues).toEqual(['png', 'jpeg', 'webp']);
  });

  it('of a model that is not installed', async () => {
    const { status, body } = await generate({ model: 'no:such@1' });
    expect([status, body.error?.code, body.error?.param]).toEqual([404, 'modelNotFound', 'model']);
    expect(body.error?.message).toContain('Installed: retouch:mini@1');
  });

  it.each([
    ['no:thing', /'image\[0\]'/],
    ['http://127.0.0.1:1/x.png', /'image\[0\]'.*private/s],
    ['file:///etc/passwd', /'image\[0\]'/],
  ])('of a picture %s', async (image, message) => {
    const { status, body } = await post('edits', { image, prompt: 'make the sky pink' });
    expect([status, body.error?.param]).toEqual([400, 'image']);
    expect(body.error?.message).toMatch(message);
  });

  it('of a picture by the id of a file, which this server does not keep', async () => {
    const { status, body } = await post('edits', { images: [{ file_id: 'file-1' }], prompt: 'a car' });
    expect([status, body.error?.param]).toEqual([400, 'image']);
  });

  it('of an edit without a picture, and with more than the model takes', async () => {
    const { body } = await post('edits', { prompt: 'make the sky pink' });
    expect(body.error).toMatchObject({ code: 'missingImage', param: 'image' });
    const many = await post('edits', { image: Array(5).fill('x'), prompt: 'make the sky pink' });
    expect(many.body.error).toMatchObject({ code: 'invalidImageCount', param: 'image', max: 4 });
  });
});

describe('a form', () => {
  const { edit } = requestSchemas;
  const read = (...fields: [name: string, value: string][]) =>
    readForm(
      fields.map(([name, value]) => ({ name, value })),
      edit,
    );

  it('has numbers, switches and JSON as text', () => {
    expect(
      read(['n', '2'], ['stream', 'true'], ['seed', '9223372036854775807'], ['guidance_scale', '2.5']),
    ).toEqual({ n: 2, stream: true, seed: 9223372036854775807n, guidance_scale: 2.5 });
    expect(read(['lora', '[{"model":"a:b@1","weight":0.5}]'])).toEqual({
      lora: [{ model: 'a:b@1', weight: 0.5 }],
    });
    expect(read(['prompt', '[true]'], ['user', '7'])).toEqual({ prompt: '[true]', user: '7' });
  });

  it('has lists by brackets or by repetition', () => {
    const listed = { image: ['a', 'b'] };
    expect(read(['image[]', 'a'], ['image[]', 'b'])).toEqual(listed);
    expect(read(['image', 'a'], ['image', 'b'])).toEqual(listed);
    expect(read(['image[0]', 'a'], ['image[1]', 'b'])).toEqual(listed);
  });

  it('has lists of objects member by member', () => {
    const members = [
      ['lora[][model]', 'a:b@1'],
      ['lora[][weight]', '0.5'],
      ['lora[][model]', 'c:d@1'],
    ] as const;
    expect(read(...members.map(([name, value]): [string, string] => [name, value]))).toEqual({
      lora: [{ model: 'a:b@1', weight: 0.5 }, { model: 'c:d@1' }],
    });
  });

  it('leaves out what is empty, and keeps text that is no number for the error', () => {
    expect(read(['n', ''], ['size', ''], ['seed', 'abc'])).toEqual({ seed: 'abc' });
  });

  const picture = { name: 'image', value: 'x', filename: 'a.png', type: 'image/png' };
  const prompt = { name: 'prompt', value: 'make the sky pink' };

  it.each([
    ['with too many parts', Array(300).fill(prompt)],
    ['with too many files', Array(40).fill(picture)],
    ['with a field of two megabytes', [{ name: 'prompt', value: 'x'.repeat(2 ** 21) }]],
  ])('%s is refused', async (_, parts) => {
    const { status, body } = await post('edits', parts);
    expect([status, body.error?.code]).toEqual([400, 'invalidBody']);
  });

  it.each([
    ['no boundary', 'multipart/form-data', 'x'],
    ['a boundary that never comes', 'multipart/form-data; boundary=zzz', 'x'],
    [
      'an end in the middle of a part',
      'multipart/form-data; boundary=b',
      '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx',
    ],
    [
      'an end in the middle of a file',
      'multipart/form-data; boundary=b',
      '--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\nx',
    ],
    ['no form but text', 'text/plain', 'hello'],
    ['nothing', 'application/json', ''],
    ['an array', 'application/json', '[]'],
  ])('%s is refused', async (_, type, payload) => {
    const response = await bench.server.inject({
      ...{ method: 'POST', url: '/v1/images/edits', payload },
      headers: { 'content-type': type },
    });
    expect([response.statusCode, response.json().error.code]).toEqual([400, 'invalidBody']);
  });

  it('has files of one million bytes whole', async () => {
    const bytes = await drawPicture(1000, 1000, 'jpg');
    const large = Buffer.concat([bytes, Buffer.alloc(1_000_000, 7)]);
    const { status } = await post('edits', [prompt, { ...picture, value: large }]);
    expect(status).toBe(200);
    expect(Buffer.from(bench.engine.plans[0]!.references[0]!)).toEqual(large);
  });

  it('is laid out as the specification says', () => {
    expect(formOf([prompt]).toString()).toMatch(
      /^--.+\r\nContent-Disposition: .+\r\n\r\nmake the sky pink\r\n--/,
    );
  });
});

describe('images that cannot be made', () => {
  it('are an error when none is made', async () => {
    bench.engine.script = async () => {
      throw new RetouchError('notEnoughMemory', 'The model needs 24 GB; there are 8 GB.');
    };
    const { status, body } = await generate({});
    expect([status, body.error]).toEqual([
      503,
      expect.objectContaining({ code: 'notEnoughMemory', type: 'server_error', param: null }),
    ]);
  });

  it('stand beside those that are made', async () => {
    bench.engine.script = async ({ seed }) => {
      if (seed === 2n) throw new RetouchError('notEnoughMemory', 'The model needs 24 GB; there are 8 GB.');
    };
    const { status, body } = await generate({ n: 3, seed: 1 });
    expect([status, body.data.map(({ seed }) => seed)]).toEqual([200, [1, 3]]);
    expect(body.errors).toEqual([expect.objectContaining({ code: 'notEnoughMemory' })]);
  });
});

describe('limits and metrics are those of the task API', () => {
  let limited: Bench;
  beforeAll(async () => {
    limited = await createBench({ 'key-limit': '2', 'sync-timeout': '1' });
  });
  afterAll(() => limited.close());

  const ask = (fields: object) =>
    limited.server.inject({
      method: 'POST',
      url: '/v1/images/generations',
      payload: { prompt: 'a red car', ...fields },
    });

  it('the images of one key', async () => {
    const response = await ask({ n: 3 });
    expect([response.statusCode, response.json().error.type]).toEqual([429, 'rate_limit_error']);
    expect(response.headers['retry-after']).toBeDefined();
  });

  it('the time that a request may wait, which is not that of a stream: it is kept alive', async () => {
    limited.engine.script = () => new Promise((end) => setTimeout(end, 1500));
    const { statusCode, body } = await ask({ stream: true });
    expect([statusCode, body]).toEqual([200, expect.stringContaining('event: image_generation.completed\n')]);
    expect(body).not.toContain('event: error');
  });

  it('the time that a request may wait, after which no SDK asks again by itself', async () => {
    limited.engine.script = (_, signal) =>
      new Promise((_, fail) =>
        signal.addEventListener('abort', () => fail(new RetouchError('engineAborted', 'Stopped.'))),
      );
    const response = await ask({});
    expect([response.statusCode, response.json().error.code]).toEqual([504, 'failedTaskTimeout']);
    expect(response.headers['x-should-retry']).toBe('false');
    expect(response.json().error.taskUUID).toBe(response.headers['x-request-id']);
  });

  it('the counts of /metrics', async () => {
    const { body } = await limited.server.inject('/metrics');
    expect(body).toMatch(/retouch_tasks_total\{[^}]*imageInference[^}]*\} \d/);
  });
});

describe('/openapi.json', () => {
  let check: (name: string, value: unknown) => unknown;

  beforeEach(async () => {
    const ajv = new Ajv2020({ strict: false });
    addFormats.default(ajv);
    ajv.addSchema((await bench.server.inject('/openapi.json')).json(), 'openapi');
    check = (name, value) => {
      const validate = ajv.getSchema(`openapi#/components/schemas/${name}`)!;
      return validate(value) || validate.errors;
    };
  });

  it('has examples that it allows and the server takes', async () => {
    expect(check('ImagesEdit', requestExamples.edit)).toBe(true);
    expect(check('ImagesGeneration', requestExamples.generation)).toBe(true);
    expect((await post('generations', requestExamples.generation)).status).toBe(200);
  });

  it('describes the answers, the errors and the models', async () => {
    expect(check('ImagesAnswer', (await generate({ n: 2 })).body)).toBe(true);
    expect(check('OpenAIError', (await generate({ n: 0 })).body)).toBe(true);
    expect(check('ModelList', (await bench.server.inject('/v1/models')).json())).toBe(true);
    expect(check('ModelEntry', (await bench.server.inject('/v1/models/dall-e-3')).json())).toBe(true);
  });
});

it('GET /v1/models asks for a key where there are keys, in the shape of OpenAI', async () => {
  await using closed = Object.assign(await createBench({ 'api-keys': 'k' }), {
    [Symbol.asyncDispose]() {
      return closed.close();
    },
  });
  const refused = await closed.server.inject('/v1/models');
  expect([refused.statusCode, refused.json().error.type]).toEqual([401, 'authentication_error']);
  const { statusCode, body } = await closed.server.inject({
    url: '/v1/models/',
    headers: { 'api-key': 'k' },
  });
  expect([statusCode, JSON.parse(body).data[0].id]).toEqual([200, 'retouch:mini@1']);
});
