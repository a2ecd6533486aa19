import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Plan } from '../../src/engine/plan.ts';
import { RetouchError } from '../../src/error.ts';
import { Database } from '../../src/store/db.ts';
import { type Answer, type Bench, drawPicture, openBench, task, taskUUID } from './fixture.ts';

let folder: string;
let bench: Bench;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-tasks-'));
  bench = await openBench(folder);
});

afterEach(async () => {
  await bench.close();
  await rm(folder, { recursive: true });
});

const asked = { ...task, deliveryMethod: 'async', seed: 1 };

function poll(uuid = taskUUID): Promise<{ status: number; body: Answer }> {
  return bench.post([{ taskType: 'getResponse', taskUUID: uuid }]);
}

async function done(uuid = taskUUID): Promise<Answer> {
  const ended = ({ body }: { body: Answer }) => body.data.every(({ status }) => status === 'success');
  await expect.poll(async () => ended(await poll(uuid))).toBe(true);
  return (await poll(uuid)).body;
}

/** Images wait at the gate until the test opens it. */
function closeGate(): { open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  bench.engine.script = (_, signal) =>
    new Promise((end, fail) => {
      void promise.then(end);
      signal.addEventListener('abort', () => fail(new RetouchError('engineAborted', 'The run was stopped.')));
    });
  return { open: resolve };
}

describe('an async task', () => {
  it('is answered at once with one item, whatever the number of its results', async () => {
    const gate = closeGate();
    const { status, body } = await bench.post([{ ...asked, numberResults: 3 }]);
    expect([status, body]).toEqual([200, { data: [{ taskType: 'imageInference', taskUUID }] }]);
    gate.open();
    expect((await done()).data.map(({ seed }) => seed)).toEqual([1, 2, 3]);
  });

  it('is no task when the disk does not take it, and may be asked for again', async () => {
    const broken = new RetouchError('dataDirectoryUnusable', 'The disk is broken.');
    vi.spyOn(Database.prototype, 'flush').mockRejectedValueOnce(broken);
    const { status, body } = await bench.post([asked]);
    expect([status, body.error?.code]).toEqual([500, 'dataDirectoryUnusable']);
    expect((await poll()).body.error?.code).toBe('taskNotFound');
    expect((await bench.post([asked])).status).toBe(200);
    await done();
    expect(bench.engine.plans).toHaveLength(1);
  });

  it('is polled for: an item per image, in order, with the UUID that the image will have and its progress', async () => {
    const gate = closeGate();
    await bench.post([{ ...asked, numberResults: 2 }]);
    const waiting = (await poll()).body.data;
    const uuid = expect.stringMatching(/^[0-9a-f-]{36}$/);
    const item = { taskType: 'imageInference', taskUUID, imageUUID: uuid, status: 'processing', progress: 0 };
    expect(waiting).toEqual([{ ...item, phase: 'load' }, item]);
    gate.open();
    const finished = (await done()).data;
    expect(finished.map(({ imageUUID }) => imageUUID)).toEqual(waiting.map(({ imageUUID }) => imageUUID));
    expect(finished[0]).toEqual({
      taskType: 'imageInference',
      taskUUID,
      status: 'success',
      imageUUID: uuid,
      imageURL: expect.stringContaining(`/images/${waiting[0]!.imageUUID}.jpg`),
      seed: 1,
    });
    expect((await poll()).body.data).toEqual(finished);
  });

  it.each([
    [{ 'x-sdk-name': 'python' }, ['processing', 'processing']],
    [{ 'x-sdk-name': 'comfyui' }, ['processing', 'processing']],
    [{ 'user-agent': 'Python/3.11 websockets/15.0' }, ['processing', 'processing']],
    [{ 'x-sdk-name': 'js' }, ['success', 'processing']],
  ])('whose client sends %o and is done in part is shown as %o', async (headers, expected) => {
    const gate = Promise.withResolvers<void>();
    bench.engine.script = async ({ seed }) => {
      if (seed !== 1n) await gate.promise;
    };
    await bench.post([{ ...asked, numberResults: 2 }]);
    const ask = async (own: Record<string, string>) =>
      (await bench.post([{ taskType: 'getResponse', taskUUID }], own)).body.data.map(({ status }) => status);
    await expect.poll(() => ask({})).toEqual(['success', 'processing']);
    expect(await ask(headers)).toEqual(expected);
    gate.resolve();
    await expect.poll(() => ask(headers)).toEqual(['success', 'success']);
  });

  it('is told its real progress', async () => {
    const gate = Promise.withResolvers<void>();
    bench.engine.steps = async function* (plan: Plan) {
      yield { index: 6, steps: plan.steps };
      await gate.promise;
    };
    await bench.post([asked]);
    await expect.poll(async () => (await poll()).body.data[0]?.progress).toBe(25);
    gate.resolve();
    await done();
  });

  it('that is wrong is answered with its errors, and is no task', async () => {
    const unknown = randomUUID();
    const { status, body } = await bench.post([{ ...asked, inputs: { referenceImages: [unknown] } }]);
    expect([status, body.error?.code]).toEqual([404, 'mediaNotFound']);
    expect((await poll()).body.error?.code).toBe('taskNotFound');
    expect((await bench.post([asked])).status).toBe(200);
  });

  it('that fails is 200 with an error for each image', async () => {
    bench.engine.script = async ({ seed }) => {
      if (seed === 2n) throw new RetouchError('engineCrashed', 'The engine process ended.');
    };
    await bench.post([{ ...asked, numberResults: 3 }]);
    const { data, errors } = await done();
    expect(data.map(({ seed }) => seed)).toEqual([1, 3]);
    expect(errors).toMatchObject([{ code: 'engineCrashed', status: 'error', taskUUID }]);
    bench.engine.script = () => Promise.reject(new RetouchError('modelFileMissing', 'It is gone.'));
    const other = randomUUID();
    await bench.post([{ ...asked, taskUUID: other }]);
    await expect.poll(async () => (await poll(other)).body.errors?.length).toBe(1);
    expect(await poll(other)).toMatchObject({ status: 200, body: { data: [] } });
  });

  it.each(['base64Data', 'dataURI'])('answers %s to each poll', async (outputType) => {
    await bench.post([{ ...asked, outputType, outputFormat: 'PNG' }]);
    const [item] = (await done()).data;
    const data = String(item?.imageBase64Data ?? item?.imageDataURI)
      .split(',')
      .at(-1)!;
    expect(Buffer.from(data, 'base64').toString()).toBe('seed 1');
    expect(item).not.toHaveProperty('imageURL');
  });
});

describe('a sync task', () => {
  it('can be polled for afterwards', async () => {
    const { body } = await bench.post([{ ...task, seed: 1 }]);
    expect((await poll()).body.data).toEqual([{ ...body.data[0], status: 'success' }]);
  });

  it('that takes too long is answered 504, goes on, and can be polled for', async () => {
    await bench.close();
    bench = await openBench(folder, { 'sync-timeout': '1' });
    const gate = closeGate();
    const { status, body } = await bench.post([task]);
    expect([status, body.error?.code, body.error?.taskUUID]).toEqual([504, 'failedTaskTimeout', taskUUID]);
    gate.open();
    expect((await done()).data).toHaveLength(1);
  });

  describe('on a machine where an image takes hours', () => {
    const forecasts = {
      of: async () => ({ encode: 30, step: 386, steps: 28, decode: 60 }),
      note: async () => {},
    };

    beforeEach(async () => {
      await bench.close();
      bench = await openBench(folder, {}, { forecasts });
    });

    it('is refused at once, with the time and the way to ask', async () => {
      const { status, body } = await bench.post([{ ...task, numberResults: 2 }]);
      expect([status, body.error]).toEqual([
        400,
        {
          code: 'unsupportedDeliveryMethod',
          message:
            'On this machine these 2 images take about 6 h 3 min (28 steps of 6 min 26 s), and a sync request may wait 2 min 0 s. ' +
            "Send deliveryMethod 'async' and ask for the result with getResponse, or give a webhookURL; fewer steps or a smaller size take less.",
          ...{ parameter: 'deliveryMethod', allowedValues: ['async'], taskType: 'imageInference', taskUUID },
        },
      ]);
      expect(bench.engine.plans).toEqual([]);
      expect((await poll()).body.error?.code).toBe('taskNotFound');
    });

    it('is made when it is async, and its poll says the phase and the seconds left', async () => {
      const gate = closeGate();
      await bench.post([asked]);
      await expect
        .poll(async () => (await poll()).body.data)
        .toMatchObject([{ status: 'processing', progress: 0, phase: 'load', secondsLeft: 10898 }]);
      gate.open();
      await done();
    });
  });

  it('whose UUID was used before is refused, and what it had stays', async () => {
    await bench.post([{ ...task, seed: 1 }]);
    const { status, body } = await bench.post([{ ...task, taskUUID: taskUUID.toUpperCase() }]);
    expect([status, body.error?.code]).toEqual([400, 'conflictTaskUUID']);
    expect((await poll()).body.data).toMatchObject([{ seed: 1 }]);
  });
});

describe('a task that does not exist', () => {
  it.each(['getResponse', 'getTaskDetails', 'cancelTask'])('is 404 for %s', async (taskType) => {
    const { status, body } = await bench.post([{ taskType, taskUUID }]);
    expect(status).toBe(404);
    expect(body.error).toMatchObject({ code: 'taskNotFound', taskType, taskUUID, parameter: 'taskUUID' });
  });
});

describe('cancelTask', () => {
  const cancel = { taskType: 'cancelTask', taskUUID };

  it('stops the running image and takes the waiting ones out; its client is told once', async () => {
    closeGate();
    const waiting = bench.post([{ ...task, numberResults: 3 }]);
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    expect((await bench.post([cancel])).body.data).toEqual([{ ...cancel, cancelledResults: 3 }]);
    const { status, body } = await waiting;
    expect([status, body.errors?.map(({ code }) => code)]).toEqual([409, ['taskCancelled']]);
    const depth = async () => (await bench.server.inject('/health')).json().queue.depth;
    await expect.poll(depth).toBe(0);
    expect(bench.engine.plans).toHaveLength(1);
    expect((await poll()).body.errors?.map(({ code }) => code)).toEqual(Array(3).fill('taskCancelled'));
  });

  it('leaves what is done', async () => {
    await bench.post([task]);
    expect((await bench.post([cancel])).body.data).toEqual([{ ...cancel, cancelledResults: 0 }]);
    expect((await done()).data).toHaveLength(1);
  });

  it('stops a task whose pictures are still being fetched', async () => {
    await bench.close();
    bench = await openBench(folder, { 'allow-private-network': '1' });
    const { createServer } = await import('node:net');
    const silent = createServer((socket) => socket.on('error', () => {}));
    const connected = new Promise((resolve) => silent.once('connection', resolve));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(silent.address() as { port: number }).port}/a.png`;
    const waiting = bench.post([{ ...task, inputs: { referenceImages: [url] } }]);
    await connected;
    expect((await poll()).body.data).toMatchObject([{ status: 'processing', progress: 0 }]);
    expect((await bench.post([cancel])).body.data).toEqual([{ ...cancel, cancelledResults: 1 }]);
    expect((await waiting).body.error?.code).toBe('taskCancelled');
    silent.close();
  });
});

describe('getTaskDetails', () => {
  it('has the task as it was asked for, and its response by now', async () => {
    const gate = closeGate();
    await bench.post([asked]);
    const details = async () => (await bench.post([{ taskType: 'getTaskDetails', taskUUID }])).body.data;
    const own = { taskType: 'getTaskDetails', taskUUID, request: [asked] };
    expect(await details()).toEqual([{ ...own, response: { data: [] } }]);
    gate.open();
    const [{ status: _, ...item }] = (await done()).data as [Record<string, unknown>];
    expect(await details()).toEqual([{ ...own, response: { data: [item] } }]);
  });

  it('lists the warnings of the plan and of the run, each once for each image', async () => {
    const cut = { code: 'promptTruncated', message: 'The prompt is cut.' } as const;
    bench.engine.warnings = [cut, cut];
    await bench.post([{ ...asked, numberResults: 2, CFGScale: 1, negativePrompt: 'fog' }]);
    const { data } = await done();
    const [details] = (await bench.post([{ taskType: 'getTaskDetails', taskUUID }])).body.data;
    const expected = data.flatMap(({ imageUUID }) => [
      {
        imageUUID,
        code: 'negativePromptUnused',
        message: expect.stringContaining("'negativePrompt'"),
      },
      { imageUUID, ...cut },
    ]);
    expect(details!.warnings).toEqual(expected);
  });

  it('keeps seeds exact, and pictures out', async () => {
    const picture = (await drawPicture(400, 300)).toString('base64').padEnd(5000, '=');
    const request = { ...asked, seed: 9223372036854775807n, inputs: { referenceImages: [picture] } };
    await bench.post([{ ...request, inputs: { referenceImages: [picture.replace(/=+$/, '')] } }]);
    const { text } = await bench.post([{ taskType: 'getTaskDetails', taskUUID }]);
    expect(text).toContain('"seed":9223372036854775807,');
    expect(text.length).toBeLessThan(5000);
  });
});

describe('one request with several tasks', () => {
  it('may name a task more than once when it is about it', async () => {
    const { body } = await bench.post([
      { ...asked, deliveryMethod: 'sync' },
      { taskType: 'getResponse', taskUUID },
      { taskType: 'getResponse', taskUUID },
    ]);
    expect(body.errors).toBeUndefined();
    expect(body.data).toHaveLength(3);
  });
});

describe('a server that starts again', () => {
  it('makes what was asked for before, and refuses its UUID', async () => {
    closeGate();
    const picture = await drawPicture(64, 48);
    const referenceImages = [picture.toString('base64')];
    await bench.post([{ ...asked, numberResults: 3, inputs: { referenceImages } }]);
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    await bench.close();
    bench = await openBench(folder);
    expect((await done()).data.map(({ seed }) => seed)).toEqual([1, 2, 3]);
    expect(bench.engine.plans.map(({ seed }) => seed)).toEqual([1n, 2n, 3n]);
    for (const { references } of bench.engine.plans) expect(references).toEqual([picture]);
    expect((await bench.post([asked])).body.error?.code).toBe('conflictTaskUUID');
  });

  it('keeps the inputs of a task only while it needs them', async () => {
    const referenceImages = [(await drawPicture(64, 48)).toString('base64')];
    const gate = closeGate();
    await bench.post([{ ...asked, inputs: { referenceImages } }]);
    const kept = () => readdir(join(folder, 'inputs'));
    expect(await kept()).toHaveLength(1);
    gate.open();
    await done();
    await expect.poll(kept).toEqual([]);
  });

  it('tells those who wait that it ends, and makes their images later', async () => {
    closeGate();
    const waiting = bench.post([task]);
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    await bench.close();
    const { status, body } = await waiting;
    expect([status, body.error?.code]).toEqual([503, 'serverUnavailable']);
    bench = await openBench(folder);
    expect((await done()).data).toHaveLength(1);
  });
});
