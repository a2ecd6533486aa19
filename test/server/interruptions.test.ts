/** Deaths that count against an image: first those of engines, and last those of the whole server. */

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Failure } from '../../src/api/errors.ts';
import type { EngineEvent, Plan } from '../../src/engine/plan.ts';
import { RetouchError } from '../../src/error.ts';
import { createLog } from '../../src/log.ts';
import { Database } from '../../src/store/db.ts';
import { Failures } from '../../src/tasks/failures.ts';
import { PrivatePaths } from '../../src/tasks/private-paths.ts';
import { makeImage } from '../../src/tasks/run/make-image.ts';
import { Worker, type WorkerOptions } from '../../src/tasks/run/worker.ts';
import { openBench, task, taskUUID, temporaryFolder } from './fixture.ts';

const image = { bytes: Uint8Array.of(1), format: 'png', width: 512, height: 512 } as const;
const plan = {} as Plan;

/** Runs that end one after the other as listed in `ends`, each after its first event, or before it. */
function scripted(ends: readonly ('made' | 'died' | 'died at once' | 'failed')[]) {
  let runs = 0;
  let counted = 0;
  const engines = {
    async *run(): AsyncGenerator<EngineEvent> {
      const end = ends[runs++];
      if (end === 'died at once') throw new RetouchError('engineCrashed', 'It died at once.');
      yield { type: 'encode-end', milliseconds: 1 };
      if (end === 'died') throw new RetouchError('engineCrashed', 'It died.');
      if (end === 'failed') throw new RetouchError('notEnoughMemory', 'It is too large.');
      yield { type: 'image', image, milliseconds: 1 };
    },
  };
  return {
    async make(crashes: number, signal = new AbortController().signal) {
      const history = { crashes, countCrash: () => counted++ };
      const made = await makeImage(plan, { engines, signal, history, onEvent() {} }).catch(
        ({ code }) => code,
      );
      return { made: made === image ? 'made' : made, runs, counted };
    },
  };
}

describe('the death of an engine', () => {
  it.each([
    // Ends of the runs, deaths under earlier processes; the outcome, its runs, the deaths written down.
    [['made'], 0, 'made', 1, 0],
    [['died', 'made'], 0, 'made', 2, 1],
    [['died at once', 'made'], 0, 'made', 2, 1],
    [['died', 'died', 'made'], 0, 'engineCrashed', 2, 1],
    // The server may have been killed with the engine as long as no next one serves.
    [['died', 'died at once'], 0, 'engineCrashed', 2, 0],
    [['died', 'made'], 1, 'engineCrashed', 1, 0],
    [['made'], 1, 'made', 1, 0],
    [['failed', 'made'], 0, 'notEnoughMemory', 1, 0],
  ] as const)('%j after %d earlier deaths: %s', async (ends, crashes, made, runs, counted) => {
    expect(await scripted(ends).make(crashes)).toEqual({ made, runs, counted });
  });

  it('of a task that was cancelled is not tried again', async () => {
    expect(await scripted(['died', 'made']).make(0, AbortSignal.abort())).toMatchObject({ runs: 1 });
  });
});

describe('the death of the whole server during an image', () => {
  /** A server's result for an image during which `deaths` earlier servers died. */
  async function endAfter(interruptions: number) {
    await using folder = await temporaryFolder();
    const first = await openBench(folder.path);
    first.engine.script = (_, signal) =>
      new Promise((_, fail) =>
        signal.addEventListener('abort', () => fail(new RetouchError('engineAborted', 'Stopped.'))),
      );
    await first.post([{ ...task, deliveryMethod: 'async' }]);
    await expect.poll(() => first.engine.plans.length).toBe(1);
    await first.close();
    const db = Database.open(join(folder.path, 'retouch.db'));
    expect(db.all('SELECT attempts FROM jobs')).toEqual([{ attempts: 0 }]);
    db.run('UPDATE jobs SET attempts = ?', interruptions);
    db.close();
    const bench = await openBench(folder.path);
    try {
      // The polls of vitest: an image that rests stays as it is.
      for (let i = 0; i < 10; i++) await new Promise((next) => setTimeout(next, 10));
      const { body } = await bench.post([{ taskType: 'getResponse', taskUUID }]);
      const [end] = body.errors ?? body.data;
      return { end: end?.code ?? end?.status, runs: bench.engine.plans.length, logged: bench.logged };
    } finally {
      await bench.close();
    }
  }

  it('once costs it nothing', async () => {
    expect(await endAfter(1)).toMatchObject({ end: 'success', runs: 1 });
  });

  it('often costs it a rest, which the log tells', async () => {
    const { logged, ...facts } = await endAfter(12);
    expect(facts).toEqual({ end: 'processing', runs: 0 });
    const rests = logged.map((line) => JSON.parse(line)).filter(({ interruptions }) => interruptions);
    expect(rests).toMatchObject([{ level: 'warn', interruptions: 12, milliseconds: 600_000 }]);
  });

  it.each([
    [49, []],
    [50, ['taskFailed']],
  ])('%d times: %j', async (interruptions, expected) => {
    const codes: string[] = [];
    const terms = JSON.stringify({ taskUUID, outputType: 'URL' });
    const worker = new Worker({
      tasks: { job: () => ({ task: { type: 'imageInference', terms }, plan: '{' }) },
      inputs: {
        async read() {
          throw new RetouchError('engineClosed', 'Beyond what is tried here.');
        },
      },
      settlement: { settle: (_: unknown, end: { failure: Failure }) => codes.push(end.failure.error.code) },
      failures: new Failures(
        new PrivatePaths(() => []),
        createLog('error', () => {}),
      ),
    } as unknown as WorkerOptions);
    const turn = {
      interruptions,
      crashes: 0,
      countCrash() {},
      release() {},
      signal: AbortSignal.timeout(9e6),
    };
    await worker.work('an image', turn).catch(({ code }) => expect(code).toBe('engineClosed'));
    expect(codes).toEqual(expected);
  });
});
