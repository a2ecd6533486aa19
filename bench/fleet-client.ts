/** The client of `bench fleet`: as many images as fit, or tasks at a steady rate. */

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringifyJson } from '../src/api/json.ts';

export type Task = Record<string, unknown>;

/** Images of an async task. */
const perTask = 20;

export const scriptedTask = (milliseconds: number): Task => ({
  ...{ taskType: 'imageInference', model: 'retouch:mini@1', positivePrompt: `${milliseconds} ms` },
  ...{ steps: 1, outputFormat: 'PNG' },
});

/** Resolves when all images are settled; `images` is a multiple of 20, or less. Seconds. */
export async function makeAll(url: string, task: Task, images: number): Promise<number> {
  const each = { ...task, deliveryMethod: 'async', numberResults: Math.min(images, perTask) };
  const begun = performance.now();
  let waiting = Math.ceil(images / perTask);
  for (; waiting > 0; waiting -= 50)
    await post(
      url,
      Array.from({ length: Math.min(waiting, 50) }, () => each),
    );
  while ((await depth(url)) > 0) await sleep(20);
  return (performance.now() - begun) / 1000;
}

/** Milliseconds that each of `count` sync tasks took; one after the other, or `perSecond` begun each second. */
export async function latencies(
  url: string,
  task: Task,
  { count, perSecond }: { count: number; perSecond?: number },
): Promise<number[]> {
  const one = async (): Promise<number> => {
    const begun = performance.now();
    await post(url, [{ ...task, deliveryMethod: 'sync' }]);
    return performance.now() - begun;
  };
  if (perSecond === undefined) {
    const all: number[] = [];
    while (all.length < count) all.push(await one());
    return all;
  }
  const running: Promise<number>[] = [];
  const begun = performance.now();
  while (running.length < count) {
    await sleep(Math.max(0, begun + (1000 * running.length) / perSecond - performance.now()));
    running.push(one());
  }
  return Promise.all(running);
}

async function post(url: string, tasks: readonly Task[]): Promise<void> {
  const response = await fetch(`${url}/v1`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: stringifyJson(tasks.map((task) => ({ ...task, taskUUID: randomUUID() }))),
  });
  const text = await response.text();
  if (response.status !== 200 || text.includes('"errors"'))
    throw new Error(`Expected success, found ${text.slice(0, 500)}`);
}

async function depth(url: string): Promise<number> {
  const health = (await (await fetch(`${url}/health`)).json()) as { queue: { depth: number } };
  return health.queue.depth;
}
