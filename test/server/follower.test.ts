import { afterEach, beforeEach, expect, it } from 'vitest';
import { stringifyJson } from '../../src/api/json.ts';
import { parseTasks } from '../../src/api/parse.ts';
import type { EngineEvent } from '../../src/engine/plan.ts';
import { type Bench, createBench, task } from './fixture.ts';

let bench: Bench;

beforeEach(async () => {
  bench = await createBench();
});

afterEach(() => bench.close());

/** Performs the task for a caller that follows it, and returns the events. */
async function follow(fields: object, previews: number): Promise<string[]> {
  const { service } = bench;
  const [parsed] = parseTasks(Buffer.from(stringifyJson([{ ...task, ...fields }])), service.parseContext);
  if (!parsed || !('task' in parsed)) throw new Error(stringifyJson(parsed));
  const heard: string[] = [];
  const names = new Map<string, number>();
  const onEvent = (result: string, { type }: EngineEvent) => {
    if (!names.has(result)) names.set(result, names.size);
    heard.push(`${type} of image ${names.get(result)}`);
  };
  const follower = { previews, onAccept: () => heard.push('accepted'), onEvent };
  const signal = new AbortController().signal;
  const caller = { account: 'everyone', publicUrl: 'http://127.0.0.1', signal, follower };
  for await (const reply of service.perform(parsed, caller)) heard.push('item' in reply ? 'item' : 'failure');
  return heard;
}

it('a follower hears that its task is accepted and then every event of its images', async () => {
  const heard = await follow({ numberResults: 2 }, 0);
  expect(heard[0]).toBe('accepted');
  expect(heard.filter((word) => word !== 'item').slice(1)).toEqual([
    'step-end of image 0',
    'image of image 0',
    'step-end of image 1',
    'image of image 1',
  ]);
});

it('a follower of a task that is refused hears nothing but the refusal', async () => {
  expect(await follow({ inputs: { referenceImages: ['no picture!'] } }, 1)).toEqual(['failure']);
});

it.each([
  // Steps, previews wanted, and after how many steps each is made: 0 is never.
  [28, 0, 0],
  [28, 3, 7],
  [10, 3, 3],
  [2, 3, 1],
  [50, 1, 25],
])('of %i steps %i previews are made every %i', async (steps, previews, every) => {
  await follow({ steps, numberResults: 1 }, previews);
  expect(bench.engine.plans[0]?.previewEvery).toBe(every);
});
