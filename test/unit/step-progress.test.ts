import { expect, it } from 'vitest';
import { interleave } from '../../src/engine/pipeline/interleave.ts';
import { StepProgress } from '../../src/engine/pipeline/step-progress.ts';

it('a report is taken before the work that it announces goes on', async () => {
  const order: string[] = [];
  const work = async function* (report: (text: string) => Promise<void>) {
    for (const step of [1, 2]) {
      await report(`block of step ${step}`);
      order.push(`computed step ${step}`);
      yield step;
    }
  };
  for await (const next of interleave(work))
    order.push('report' in next ? `heard ${next.report}` : `heard step ${next.item}`);
  expect(order).toEqual([
    'heard block of step 1',
    'computed step 1',
    'heard step 1',
    'heard block of step 2',
    'computed step 2',
    'heard step 2',
  ]);
});

it('work that fails gives its error', async () => {
  const work = async function* (report: (text: string) => Promise<void>): AsyncGenerator<number> {
    yield 1;
    await report('begun');
    throw new Error('not finite');
  };
  const run = async () => {
    for await (const _ of interleave(work));
  };
  await expect(run()).rejects.toThrow('not finite');
});

it('leaving at a report ends the work, and releases what it holds', async () => {
  let released = false;
  let computed = false;
  const work = async function* (report: (text: string) => Promise<void>): AsyncGenerator<number> {
    try {
      await report('begun');
      computed = true;
      yield 1;
    } finally {
      released = true;
    }
  };
  for await (const _ of interleave(work)) break;
  expect({ released, computed }).toEqual({ released: true, computed: false });
});

it('a step counts its blocks, those of both passes of true CFG together, and is not done before it ends', () => {
  let now = 0;
  const progress = new StepProgress({ steps: 28, blocks: 57, passes: 2 }, () => now);
  progress.beginPass();
  expect(progress.note(0)).toBe(false);
  now = 1000;
  expect(progress.note(8)).toBe(true);
  expect(progress.describe()).toMatchObject({
    message: 'step 1 of 28, pass 1 of 2, 8 of 57 blocks',
    fraction: 8 / 57 / 2,
  });
  progress.beginPass();
  expect(progress.note(57)).toBe(false);
  now = 2000;
  expect(progress.note(57)).toBe(true);
  expect(progress.describe().fraction).toBe(0.99);
  progress.endStep();
  progress.beginPass();
  now = 3000;
  progress.note(1);
  expect(progress.describe().message).toBe('step 2 of 28, pass 1 of 2, 1 of 57 blocks');
});
