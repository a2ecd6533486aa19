import { delimiter } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { EngineEvent, Plan } from '../../src/engine/plan.ts';
import { deviceEnvironment } from '../../src/engine/process/device-environment.ts';
import { LocalEngines, type LocalEnginesOptions } from '../../src/engine/process/local-engines.ts';
import { scriptedPlan } from '../fixtures/plans.ts';

vi.setConfig({ testTimeout: 60_000 });

const childModule = new URL('../fixtures/scripted-child.ts', import.meta.url);
let pool: LocalEngines;
let lines: string[] = [];

function open(count: number, options: Partial<LocalEnginesOptions> = {}): LocalEngines {
  lines = [];
  const devices = Array.from({ length: count }, (_, index) => ({ device: 'cpu' as const, index }));
  pool = new LocalEngines({
    devices,
    childModule,
    firstDelay: 1,
    log: (line) => lines.push(line),
    ...options,
  });
  return pool;
}

afterEach(() => pool?.close());

/** A plan of the model with that name, and LoRAs. */
function planOf(model: string, prompt = 'step', loras: readonly string[] = []): Plan {
  const plan = scriptedPlan(prompt);
  return {
    ...plan,
    model: { ...plan.model, air: model },
    loras: loras.map((air) => ({ air, file: air, weight: 1, stage: 'both' as const })),
  };
}

/** A run that has come as far as its first step: `name` of the engine that computes it, `end` to go on. */
async function begin(plan: Plan, signal?: AbortSignal) {
  const before = new Set(busy());
  const events = pool.run(plan, signal);
  for (let type = ''; type !== 'encode-end'; ) type = (await events.next()).value!.type;
  const name = busy().find((each) => !before.has(each))!;
  return { name, end: () => drain(events) };
}

const busy = () => pool.engines.filter(({ state }) => state === 'busy').map(({ name }) => name);

async function drain(events: AsyncIterable<EngineEvent>): Promise<EngineEvent['type']> {
  let last: EngineEvent['type'] = 'warning';
  for await (const { type } of events) last = type;
  return last;
}

describe('several engines', () => {
  it('run a plan each at the same time, with their parts of the threads and the memory', async () => {
    open(2, { threads: 5, memoryLimit: 1000 });
    expect(pool.capacity).toBe(2);
    const [a, b] = [await begin(planOf('m', 'slow')), await begin(planOf('m', 'slow'))];
    expect([a.name, b.name]).toEqual(['cpu:0', 'cpu:1']);
    expect(await Promise.all([a.end(), b.end()])).toEqual(['image', 'image']);
    expect(lines.filter((line) => line === 'engine with 2 threads and 500 bytes')).toHaveLength(2);
    expect(new Set(pool.engines.map(({ pid }) => pid)).size).toBe(2);
  });

  it('hold back further plans until one of them is free, in the order they were asked for', async () => {
    open(2);
    const order: string[] = [];
    const run = async (name: string) => {
      await drain(pool.run(planOf('m', 'slow')));
      order.push(name);
    };
    const [a, b] = [await begin(planOf('m', 'slow slow')), await begin(planOf('m', 'slow slow'))];
    const waiting = [run('c'), run('d'), run('e')];
    await Promise.all([a.end(), b.end(), ...waiting]);
    expect([...order].sort()).toEqual(['c', 'd', 'e']);
    expect(order.at(-1)).toBe('e');
  });

  it('are chosen by the model that they hold, then by its LoRAs; an engine with nothing comes before another model', async () => {
    open(3);
    await (await begin(planOf('m'))).end();
    expect(pool.engines.map(({ model }) => model)).toEqual(['m', undefined, undefined]);
    // The engine that holds the model is taken again, though others have never run.
    const held = await begin(planOf('m', 'slow'));
    const empty = await begin(planOf('n', 'slow', ['x']));
    expect([held.name, empty.name]).toEqual(['cpu:0', 'cpu:1']);
    const third = await begin(planOf('n', 'slow'));
    expect(third.name).toBe('cpu:2');
    await Promise.all([held.end(), empty.end(), third.end()]);
    await vi.waitFor(() => expect(busy()).toEqual([]));
    const withLora = await begin(planOf('n', 'slow', ['x']));
    const without = await begin(planOf('n', 'slow', ['x']));
    expect([withLora.name, without.name]).toEqual(['cpu:1', 'cpu:2']);
    await Promise.all([withLora.end(), without.end()]);
  });

  it('lose no run to the crash of one of them, which is replaced', async () => {
    open(2);
    const [bad, good] = [await begin(planOf('m', 'crash:SIGKILL')), await begin(planOf('m', 'slow slow'))];
    const { pid } = pool.engines.find(({ name }) => name === good.name)!;
    await expect(bad.end()).rejects.toMatchObject({ code: 'engineCrashed' });
    expect(await good.end()).toBe('image');
    await vi.waitFor(() => expect(busy()).toEqual([]));
    const both = [await begin(planOf('m', 'slow')), await begin(planOf('m', 'slow'))];
    expect(await Promise.all(both.map(({ end }) => end()))).toEqual(['image', 'image']);
    expect(pool.engines.map(({ restarts }) => restarts)).toEqual([1, 0]);
    expect(pool.engines.find(({ name }) => name === good.name)!.pid).toBe(pid);
  });

  it('that wait after a crash get no plan while another is free, and one that waited for them when they are back', async () => {
    open(2, { firstDelay: 300, longestDelay: 300 });
    await expect(drain(pool.run(planOf('m', 'exit:1')))).rejects.toMatchObject({ code: 'engineCrashed' });
    const other = await begin(planOf('m', 'slow slow slow slow slow'));
    expect(other.name).toBe('cpu:1');
    expect(await drain(pool.run(planOf('m')))).toBe('image');
    expect(pool.engines[0]!.restarts).toBe(1);
    await other.end();
  });

  it('forget a plan that is stopped while it waits, and stop one that they compute without touching the others', async () => {
    open(2);
    const stop = new AbortController();
    const [a, b] = [
      await begin(planOf('m', Array.from({ length: 500 }, () => 'slow').join(' ')), stop.signal),
      await begin(planOf('m', 'slow')),
    ];
    const waiting = drain(pool.run(planOf('m'), stop.signal));
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'engineAborted' });
    await expect(a.end()).rejects.toMatchObject({ code: 'engineAborted' });
    expect(await b.end()).toBe('image');
    expect(await drain(pool.run(planOf('m')))).toBe('image');
  });

  it('end together, with an error for what runs, waits and comes later', async () => {
    open(1);
    const running = await begin(planOf('m', 'hang'));
    const ended = expect(running.end()).rejects.toMatchObject({ code: 'engineClosed' });
    const waiting = expect(drain(pool.run(planOf('m')))).rejects.toMatchObject({ code: 'engineClosed' });
    await pool.close();
    await Promise.all([ended, waiting]);
    await expect(drain(pool.run(planOf('m')))).rejects.toMatchObject({ code: 'engineClosed' });
  });
});

it('the child of a CUDA engine sees its card alone, counted among those that the server may use', () => {
  expect(deviceEnvironment('cuda', 1, {})).toEqual({
    CUDA_VISIBLE_DEVICES: '1',
    // f32 products are f32.
    NVIDIA_TF32_OVERRIDE: '0',
  });
  expect(deviceEnvironment('cuda', 1, { CUDA_VISIBLE_DEVICES: '2, 3' })).toMatchObject({
    CUDA_VISIBLE_DEVICES: '3',
  });
  expect(deviceEnvironment('cpu', 1, { CUDA_VISIBLE_DEVICES: '2' })).toEqual({});
});

it('the child of a WebGPU engine loads the driver of its number among those that VK_DRIVER_FILES names', () => {
  const two = { VK_DRIVER_FILES: ['/one.json', '/two.json'].join(delimiter) };
  expect([0, 1].map((index) => deviceEnvironment('webgpu', index, two))).toEqual([
    { VK_DRIVER_FILES: '/one.json' },
    { VK_DRIVER_FILES: '/two.json' },
  ]);
  expect(deviceEnvironment('webgpu', 0, {})).toEqual({});
  expect(() => deviceEnvironment('webgpu', 2, two)).toThrow(
    'device webgpu:2 cannot be used: VK_DRIVER_FILES names 2 Vulkan drivers, expected at least 3',
  );
});
