import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { EngineEvent } from '../../src/engine/plan.ts';
import { EngineHost, type EngineHostOptions } from '../../src/engine/process/host.ts';
import type { RetouchError } from '../../src/error.ts';
import { scriptedPlan } from '../fixtures/plans.ts';

vi.setConfig({ testTimeout: 60_000 });

const childModule = new URL('../fixtures/scripted-child.ts', import.meta.url);
let lines: string[] = [];
let host: EngineHost;

function open(options: EngineHostOptions = {}): EngineHost {
  lines = [];
  host = new EngineHost({ childModule, firstDelay: 1, log: (line) => lines.push(line), ...options });
  return host;
}

async function collect(events: AsyncIterable<EngineEvent>): Promise<EngineEvent[]> {
  const collected: EngineEvent[] = [];
  for await (const event of events) collected.push(event);
  return collected;
}

async function failure(work: Promise<unknown>): Promise<RetouchError> {
  return work.then(
    () => Promise.reject(new Error('it was expected to fail')),
    (error) => error,
  );
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** The steps that the scripted engine had done when it left each run; its output may follow the run's end. */
async function leftAfter(runs: number): Promise<number[]> {
  const counts = () => lines.flatMap((line) => line.match(/left after (\d+) steps/)?.[1] ?? []).map(Number);
  await until(() => counts().length >= runs);
  return counts();
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // Without a process that reaps orphans, a dead one stays as a zombie and still accepts signals.
  const stat = `/proc/${pid}/stat`;
  return !existsSync(stat) || !readFileSync(stat, 'utf8').includes(') Z ');
}

afterEach(() => host?.close());

describe('a run', () => {
  it('forks the child on first use, and the next run finds it warm', async () => {
    open({ threads: 3, memoryLimit: 1000 });
    expect(host.status).toEqual({ state: 'idle', pid: undefined, restarts: 0 });
    const events = await collect(host.run(scriptedPlan('step step')));
    expect(events.map((event) => event.type)).toEqual([
      'load-end',
      'encode-end',
      'step-end',
      'step-end',
      'decode-end',
      'image',
    ]);
    const { pid, state } = host.status;
    expect(state).toBe('ready');
    await collect(host.run(scriptedPlan('step')));
    expect(host.status).toEqual({ state: 'ready', pid, restarts: 0 });
    expect(lines).toContain('engine with 3 threads and 1000 bytes');
  });

  it('carries bytes there and back unchanged', async () => {
    const reference = new Uint8Array(3_000_000).map((_, i) => i * 7);
    open();
    const events = await collect(host.run(scriptedPlan('step', { references: [reference] })));
    const last = events.at(-1);
    const bytes = last?.type === 'image' ? last.image.bytes : new Uint8Array();
    expect(Buffer.compare(bytes, reference)).toBe(0);
  });

  it('waits for the runs asked for before it', async () => {
    open();
    const order: string[] = [];
    const follow = async (name: string, script: string) => {
      for await (const event of host.run(scriptedPlan(script))) {
        if (event.type === 'step-end' || event.type === 'image') order.push(`${name} ${event.type}`);
      }
    };
    await Promise.all([follow('a', 'step step'), follow('b', 'step'), follow('c', 'step')]);
    expect(order).toEqual([
      'a step-end',
      'a step-end',
      'a image',
      'b step-end',
      'b image',
      'c step-end',
      'c image',
    ]);
  });

  it('throws what the engine threw, with its code and details, and the child stays', async () => {
    open();
    const error = await failure(collect(host.run(scriptedPlan('step error'))));
    expect(error).toMatchObject({
      name: 'RetouchError',
      code: 'modelTooLarge',
      message: 'The model needs 24 GiB; the limit is 8 GiB.',
      details: { limit: 8 },
    });
    await collect(host.run(scriptedPlan('step')));
    expect(host.status.restarts).toBe(0);
  });

  it('reports a bug in the engine as an internal error with its stack', async () => {
    open();
    const error = await failure(collect(host.run(scriptedPlan('bug'))));
    expect(error.code).toBe('internalError');
    expect(error.message).toContain('TypeError: x is not a function');
    expect(error.message).toContain('scripted-child.ts');
  });
});

describe('a crash', () => {
  it.each([
    ['crash:SIGKILL', 'signal SIGKILL'],
    ['crash:SIGABRT', 'signal SIGABRT'],
    ['exit:3', 'exit code 3'],
  ])('by %s is one error for the run under way, and the next run works', async (script, how) => {
    open();
    const broken = failure(collect(host.run(scriptedPlan(`step step ${script} step`))));
    const waiting = collect(host.run(scriptedPlan('step')));
    const error = await broken;
    expect(error.code).toBe('engineCrashed');
    expect(error.message).toContain(`${how} while computing step 3 of 4`);
    expect((await waiting).at(-1)?.type).toBe('image');
    expect(host.status.restarts).toBe(1);
  });

  it('from outside, between two steps, is told the same way', async () => {
    open();
    const error = await failure(
      (async () => {
        for await (const event of host.run(scriptedPlan('step orphan'))) {
          if (event.type === 'step-end') process.kill(host.status.pid!, 'SIGKILL');
        }
      })(),
    );
    expect(error.code).toBe('engineCrashed');
    expect(error.details).toMatchObject({ signal: 'SIGKILL', phase: 'computing step 2 of 2' });
  });

  it('of an idle child is nobody’s error', async () => {
    open();
    await collect(host.run(scriptedPlan('step')));
    process.kill(host.status.pid!, 'SIGKILL');
    await until(() => host.status.pid === undefined);
    expect((await collect(host.run(scriptedPlan('step')))).at(-1)?.type).toBe('image');
    expect(host.status.restarts).toBe(1);
  });

  it('of a child that never serves is an error that carries its last words', async () => {
    open({ childModule: new URL('../fixtures/no-such-module.ts', import.meta.url) });
    const error = await failure(collect(host.run(scriptedPlan('step'))));
    expect(error.message).toContain('exit code 1 while starting');
    expect(String(error.details.lastLines)).toContain('no-such-module.ts');
  });

  it('delays the next start, twice as long each time, until a run succeeds', async () => {
    open({ firstDelay: 8, longestDelay: 20 });
    const crash = () => failure(collect(host.run(scriptedPlan('exit:1'))));
    await crash();
    expect(['backing-off', 'idle']).toContain(host.status.state);
    await crash();
    await crash();
    await collect(host.run(scriptedPlan('step')));
    await crash();
    const delays = lines.flatMap((line) => line.match(/may start in (\d+) ms/)?.[1] ?? []);
    expect(delays).toEqual(['8', '16', '20', '8']);
  });

  it('puts the host into backing-off, and an abort ends the waiting', async () => {
    open({ firstDelay: 3_600_000, longestDelay: 3_600_000 });
    await failure(collect(host.run(scriptedPlan('exit:1'))));
    expect(host.status).toEqual({ state: 'backing-off', pid: undefined, restarts: 0 });
    const controller = new AbortController();
    const waiting = failure(collect(host.run(scriptedPlan('step'), controller.signal)));
    setImmediate(() => controller.abort());
    expect((await waiting).code).toBe('engineAborted');
  });
});

describe('a child that hangs', () => {
  const watchdog = { factor: 10, least: 300, leastLoad: 300, unmeasured: 300 };

  it('in a step is replaced without a back-off, and the host says before that the run is stalled', async () => {
    open({ watchdog, firstDelay: 3_600_000, longestDelay: 3_600_000 });
    await collect(host.run(scriptedPlan('step step')));
    const { pid } = host.status;
    const running = failure(collect(host.run(scriptedPlan('step hang step'))));
    await until(() => host.status.stalled !== undefined);
    expect(host.status.stalled).toMatch(
      /^The engine has been silent for \d+\.\d s while computing step 2 of 3; it is replaced after \d+\.\d s\.$/,
    );
    expect((await running).code).toBe('engineHung');
    expect(host.status.stalled).toBeUndefined();
    expect((await collect(host.run(scriptedPlan('step')))).at(-1)?.type).toBe('image');
    expect(isRunning(pid!)).toBe(false);
    expect(host.status.restarts).toBe(1);
    expect(lines.join('\n')).toContain(`Killing process ${pid}.`);
  });

  it('because it was stopped from outside is replaced as well', async () => {
    open({ watchdog });
    const running = failure(collect(host.run(scriptedPlan('step slow slow slow slow slow slow slow slow'))));
    await until(() => host.status.state === 'busy');
    process.kill(host.status.pid!, 'SIGSTOP');
    expect((await running).code).toBe('engineHung');
  });

  it('is told from a slow one by what was measured: ten times the longest step is allowed', async () => {
    open({ watchdog: { ...watchdog, least: 1, factor: 20, unmeasured: 60_000 } });
    await collect(host.run(scriptedPlan('slow')));
    // A step of 200 ms was measured, so one of 200 ms and none of 4 s is within the limit.
    expect((await collect(host.run(scriptedPlan('slow slow')))).at(-1)?.type).toBe('image');
    expect(host.status.restarts).toBe(0);
  });

  it('is told from one that loads a network inside another stage, which has the time of loading', async () => {
    open({ watchdog: { ...watchdog, least: 1, leastLoad: 60_000, unmeasured: 60_000 } });
    await collect(host.run(scriptedPlan('step step')));
    expect((await collect(host.run(scriptedPlan('step load')))).at(-1)?.type).toBe('image');
    expect(host.status.restarts).toBe(0);
  });

  it('in another model is not judged by the steps of the first', async () => {
    open({ watchdog: { ...watchdog, least: 1, leastLoad: 1, unmeasured: 60_000 } });
    await collect(host.run(scriptedPlan('step')));
    const other = scriptedPlan('slow slow');
    const model = { ...other.model, air: 'test:slow@1' };
    expect((await collect(host.run({ ...other, model }))).at(-1)?.type).toBe('image');
    expect(host.status.restarts).toBe(0);
  });
});

describe('stopping', () => {
  it('by signal ends the run between two steps, and the child stays for the next', async () => {
    open();
    const controller = new AbortController();
    const steps: number[] = [];
    const error = await failure(
      (async () => {
        for await (const event of host.run(scriptedPlan('slow slow slow slow slow'), controller.signal)) {
          if (event.type !== 'step-end') continue;
          steps.push(event.index);
          controller.abort();
        }
      })(),
    );
    expect(error.code).toBe('engineAborted');
    expect(steps).toEqual([0]);
    expect((await collect(host.run(scriptedPlan('step')))).at(-1)?.type).toBe('image');
    expect(host.status.restarts).toBe(0);
    expect((await leftAfter(2))[0]).toBeLessThan(5);
  });

  it('by leaving the loop stops the work before the next run starts', async () => {
    open();
    for await (const event of host.run(scriptedPlan('slow slow slow slow slow'))) {
      if (event.type === 'step-end') break;
    }
    await collect(host.run(scriptedPlan('step')));
    const lefts = await leftAfter(2);
    expect(lefts[0]).toBeLessThan(5);
    expect(lefts[1]).toBe(1);
  });

  it('of a run that waits takes it out of the queue', async () => {
    open();
    const controller = new AbortController();
    const first = collect(host.run(scriptedPlan('slow slow')));
    const second = failure(collect(host.run(scriptedPlan('exit:1'), controller.signal)));
    const third = collect(host.run(scriptedPlan('step')));
    controller.abort();
    expect((await second).code).toBe('engineAborted');
    expect((await first).at(-1)?.type).toBe('image');
    expect((await third).at(-1)?.type).toBe('image');
    expect(host.status.restarts).toBe(0);
  });

  it('before the start does not fork a child', async () => {
    open();
    const error = await failure(collect(host.run(scriptedPlan('step'), AbortSignal.abort())));
    expect(error.code).toBe('engineAborted');
    expect(host.status.state).toBe('idle');
  });

  it('that the engine does not honour kills the child, without a back-off', async () => {
    open({ stopTimeout: 50, firstDelay: 3_600_000, longestDelay: 3_600_000 });
    const controller = new AbortController();
    const running = failure(collect(host.run(scriptedPlan('step hang'), controller.signal)));
    await until(() => lines.includes('hanging'));
    controller.abort();
    const error = await running;
    expect(error.code).toBe('engineAborted');
    expect((await collect(host.run(scriptedPlan('step')))).at(-1)?.type).toBe('image');
    expect(lines.join('\n')).toContain('did not stop within 0.05 s while computing step 2 of 2');
  });
});

describe('the end', () => {
  it('by close lets an idle child release its engine and leave', async () => {
    open();
    await collect(host.run(scriptedPlan('step')));
    const pid = host.status.pid!;
    await host.close();
    expect(isRunning(pid)).toBe(false);
    expect(lines).toContain('released');
  });

  it('by close fails the run under way and those that wait, and refuses later ones', async () => {
    open();
    const running = failure(collect(host.run(scriptedPlan('step hang'))));
    const waiting = failure(collect(host.run(scriptedPlan('step'))));
    await until(() => host.status.state === 'busy');
    await host.close();
    expect((await running).code).toBe('engineClosed');
    expect((await waiting).code).toBe('engineClosed');
    expect((await failure(collect(host.run(scriptedPlan('step'))))).code).toBe('engineClosed');
  });

  it.each([
    ['waits', 'step orphan'],
    ['is blocked by a computation', 'step hang'],
  ])('of the parent by SIGKILL ends the child that %s', async (_, script) => {
    const owner = new URL('../fixtures/host-owner.ts', import.meta.url);
    const parent = spawn(process.execPath, [owner.pathname, script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(parent.stdout, 'data');
    const pid = Number(String(line));
    expect(isRunning(pid)).toBe(true);
    parent.kill('SIGKILL');
    await until(() => !isRunning(pid));
  });

  it('is not brought by the signals that a terminal sends to the whole group', async () => {
    open();
    for await (const event of host.run(scriptedPlan('step step'))) {
      if (event.type === 'step-end') process.kill(host.status.pid!, 'SIGINT');
    }
    expect(host.status.restarts).toBe(0);
  });
});
