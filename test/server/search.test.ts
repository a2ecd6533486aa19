import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelSearchTask } from '../../src/api/tasks/model-search.ts';
import type { Adapter, Model, ModelStore } from '../../src/store/models.ts';
import { searchModels } from '../../src/tasks/handlers/model-search.ts';
import { type Bench, createBench, task } from './fixture.ts';

const checkpoint = (air: string, name: string, tags: string[] = []) =>
  ({
    category: 'checkpoint',
    air,
    name,
    architecture: 'flux-kontext',
    defaults: { steps: 28, guidance: 2.5 },
    license: 'Apache-2.0',
    photographs: true,
    examples: [],
    sizes: undefined,
    about: { version: undefined, tags, comment: '' },
  }) as unknown as Model;
const lora = (air: string, name: string, comment = '') =>
  ({
    category: 'lora',
    air,
    name,
    architecture: 'flux-kontext',
    about: { version: 'v2', tags: ['style'], comment },
  }) as unknown as Adapter;

const store = {
  models: [
    checkpoint('runware:106@1', 'FLUX.1 Kontext [dev]', ['edit']),
    checkpoint('retouch:mini@1', 'Retouch mini'),
  ],
  adapters: [
    lora('civitai:1@2', 'Kontext of pictures'),
    lora('civitai:7@9', 'Ink', 'Draws like kontext'),
    lora('me:kontext@1', 'Wool'),
  ],
} as unknown as ModelStore;

const search = (fields: Partial<ModelSearchTask>) =>
  searchModels(
    { visibility: 'all', limit: 20, offset: 0, sort: 'relevance', ...fields } as ModelSearchTask,
    store,
    'http://127.0.0.1:7100',
  );
const airs = (fields: Partial<ModelSearchTask>) => search(fields).results.map(({ air }) => air);

describe('the score of a search', () => {
  it('is of the phrase in the name, then of the AIR and parts of the name, then of other words', () => {
    expect(airs({ search: 'kontext' })).toEqual([
      'runware:106@1',
      'civitai:1@2',
      'me:kontext@1',
      'civitai:7@9',
    ]);
    expect(airs({ search: 'FLUX.1 kontext' })[0]).toBe('runware:106@1');
    expect(airs({ search: 'konte' })).toEqual(['runware:106@1', 'civitai:1@2', 'me:kontext@1']);
    expect(airs({ search: 'runware:106' })).toEqual(['runware:106@1']);
    expect(airs({ search: 'style' })).toEqual(['civitai:7@9', 'civitai:1@2', 'me:kontext@1']);
    expect(airs({ search: 'nothing of it' })).toEqual([]);
    expect(airs({ search: '***' })).toEqual([]);
    expect(search({ search: '' }).totalResults).toBe(5);
  });
});

describe('filters', () => {
  it.each<[Partial<ModelSearchTask>, string[]]>([
    [{ category: 'checkpoint' }, ['runware:106@1', 'retouch:mini@1']],
    [{ category: 'lora', source: 'Civitai' }, ['civitai:7@9', 'civitai:1@2']],
    [{ category: 'controlnet' }, []],
    [{ type: 'base' }, ['runware:106@1', 'retouch:mini@1']],
    [{ type: 'inpainting' }, []],
    [{ architecture: 'fluxkontextdev', category: 'checkpoint' }, ['runware:106@1', 'retouch:mini@1']],
    [{ architecture: 'flux-1-kontext-dev', category: 'checkpoint' }, ['runware:106@1', 'retouch:mini@1']],
    [{ architecture: 'sdxl' }, []],
    [{ tags: ['EDIT'] }, ['runware:106@1']],
    [{ tags: ['edit', 'style'] }, []],
    [{ visibility: 'private' }, []],
    [{ visibility: 'public', category: 'checkpoint' }, ['runware:106@1', 'retouch:mini@1']],
    [{ capabilities: ['op:edit'] }, ['runware:106@1', 'retouch:mini@1']],
    [{ conditioning: 'canny' }, []],
    [{ category: 'checkpoint', sort: '-name' }, ['retouch:mini@1', 'runware:106@1']],
  ])('%j leave %j', (fields, left) => {
    expect(airs(fields)).toEqual(left);
  });

  it('are counted before the page is cut', () => {
    expect(search({ sort: 'name', limit: 2, offset: 1 })).toMatchObject({
      totalResults: 5,
      results: [{ name: 'Ink' }, { name: 'Kontext of pictures' }],
    });
    expect(search({ offset: 99 })).toEqual({ totalResults: 5, results: [] });
  });
});

describe('over the wire', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await createBench();
  });
  afterAll(() => bench.close());

  it('modelSearch shows what is installed', async () => {
    const { body } = await bench.post([{ taskType: 'modelSearch', taskUUID: randomUUID(), search: 'mini' }]);
    expect(body.data).toEqual([
      {
        taskType: 'modelSearch',
        taskUUID: expect.any(String),
        totalResults: 1,
        results: [
          {
            name: 'Retouch mini',
            air: 'retouch:mini@1',
            version: '1',
            category: 'checkpoint',
            type: 'base',
            architecture: 'fluxkontextdev',
            tags: [],
            private: false,
            license: 'Apache-2.0',
            photographs: true,
            examples: [],
            comment: '',
            defaultWidth: 1024,
            defaultHeight: 1024,
            defaultSteps: 28,
            defaultCFG: 2.5,
            defaultScheduler: 'Default',
          },
        ],
      },
    ]);
  });

  it.each([
    ['category', 'model'],
    ['type', 'big'],
    ['architecture', 'flux9'],
    ['conditioning', 'lines'],
    ['visibility', 'secret'],
    ['sort', 'price'],
    ['limit', 0],
    ['limit', 101],
    ['offset', -1],
    ['capabilities', ['io:text-to-video']],
  ])('modelSearch refuses %s %j', async (name, value) => {
    const { status, body } = await bench.post([
      { taskType: 'modelSearch', taskUUID: randomUUID(), [name]: value },
    ]);
    expect([status, body.error?.parameter]).toEqual([400, name]);
    expect(body.error?.code).toMatch(/^invalid/);
  });

  it('accountManagement sums up what was used', async () => {
    const ask = async () => {
      const { body } = await bench.post([
        { taskType: 'accountManagement', taskUUID: randomUUID(), operation: 'getDetails' },
      ]);
      return body.data[0] as unknown as { usage: Record<string, unknown>; balance: number };
    };
    expect((await ask()).usage).toMatchObject({ today: { credits: 0, requests: 0 }, days: [] });
    await bench.post([{ ...task, numberResults: 3 }]);
    const details = await ask();
    expect(details).toMatchObject({ operation: 'getDetails', balance: expect.any(Number), team: [] });
    // The model's manifest has a price of a cent per image.
    const span = { credits: 0.03, requests: 1 };
    expect(details.usage).toEqual({
      total: span,
      today: span,
      last7Days: span,
      last30Days: span,
      days: [
        {
          date: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
          tasks: 1,
          images: 3,
          computeSeconds: expect.closeTo(0.003, 6),
          cost: 0.03,
        },
      ],
    });
  });

  it('accountManagement tells each key of its own', async () => {
    const first = { authorization: `Bearer ${bench.keys.add('first').key}` };
    const second = { authorization: `Bearer ${bench.keys.add('second').key}` };
    await bench.post([{ ...task, taskUUID: randomUUID() }], first);
    const ask = async (headers: Record<string, string>) => {
      const wire = { taskType: 'accountManagement', taskUUID: randomUUID(), operation: 'getDetails' };
      return (await bench.post([wire], headers)).body.data[0]!;
    };
    expect(await ask(first)).toMatchObject({
      organizationName: 'first',
      apiKeys: [{ name: 'first', enabled: true, lastUsedAt: expect.any(String) }],
      usage: { total: { requests: 1 } },
    });
    expect(await ask(second)).toMatchObject({
      organizationName: 'second',
      usage: { total: { requests: 0 } },
    });
    expect((await ask(first)).organizationUUID).not.toBe((await ask(second)).organizationUUID);
  });
});

describe('limits', () => {
  it('of one key leave room for the others, and say when to come again', async () => {
    const bench = await createBench({ 'key-limit': '3' });
    try {
      const first = { authorization: `Bearer ${bench.keys.add('first').key}` };
      const second = { authorization: `Bearer ${bench.keys.add('second').key}` };
      const gate = Promise.withResolvers<void>();
      bench.engine.script = () => gate.promise;
      const ask = (count: number) => ({ ...task, taskUUID: randomUUID(), numberResults: count });
      const working = bench.post([ask(2)], first);
      await expect.poll(() => bench.engine.plans.length).toBe(1);
      const refused = await bench.server.inject({
        method: 'POST',
        url: '/v1',
        payload: [ask(2)],
        headers: first,
      });
      expect([refused.statusCode, refused.headers['retry-after'], refused.json().error.code]).toEqual([
        429,
        '10',
        'rateLimitExceeded',
      ]);
      const others = [bench.post([ask(1)], first), bench.post([ask(3)], second)];
      gate.resolve();
      for (const answer of [working, ...others]) expect((await answer).status).toBe(200);
    } finally {
      await bench.close();
    }
  });
});
