/** The contract of queues, run against each implementation. A new implementation is a line in the table. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { LocalQueueOptions } from '../../src/queue/local.ts';
import { createMemoryQueue } from '../../src/queue/memory.ts';
import type { Queue, Work } from '../../src/queue/queue.ts';
import { createSqliteQueue } from '../../src/queue/sqlite.ts';
import { Database } from '../../src/store/db.ts';

type Opened = { queue: Queue; close(): void };
type Open = (folder: string, options: LocalQueueOptions) => Opened;

const openSqlite: Open = (folder, options) => {
  const db = Database.open(join(folder, 'retouch.db'));
  return { queue: createSqliteQueue(db, options), close: () => db.close() };
};

const implementations: Record<string, { open: Open; durable: boolean }> = {
  memory: { open: (_, options) => ({ queue: createMemoryQueue(options), close() {} }), durable: false },
  sqlite: { open: openSqlite, durable: true },
};

/** Work that the test ends. */
class Worker {
  readonly started: string[] = [];
  readonly interruptions: number[] = [];
  readonly crashes: number[] = [];
  /** The functions of the job that started last. */
  countCrash: () => void = () => {};
  readonly #settlers = new Map<string, PromiseWithResolvers<void>>();
  readonly #releases = new Map<string, () => void>();

  readonly work: Work = (id, { interruptions, crashes, countCrash, signal, release }) => {
    this.started.push(id);
    this.interruptions.push(interruptions);
    this.crashes.push(crashes);
    this.countCrash = countCrash;
    this.#releases.set(id, release);
    const settler = Promise.withResolvers<void>();
    this.#settlers.set(id, settler);
    signal.addEventListener('abort', () => {
      if (signal.reason.code === 'queueClosed') settler.reject(signal.reason);
      else settler.resolve();
    });
    return settler.promise;
  };

  finish(id: string): void {
    this.#settlers.get(id)!.resolve();
  }

  release(id: string): void {
    this.#releases.get(id)!();
  }

  fail(id: string, error: unknown): void {
    this.#settlers.get(id)!.reject(error);
  }
}

let folder: string;
const opened: Opened[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-queue-'));
});

afterEach(async () => {
  for (const { queue, close } of opened.splice(0)) {
    await queue.close();
    close();
  }
  await rm(folder, { recursive: true });
});

describe.each(Object.entries(implementations))('the %s queue', (_, { open, durable }) => {
  function start(options: Partial<LocalQueueOptions> = {}): { queue: Queue; worker: Worker } {
    const one = open(folder, { limit: 10, firstPause: 1, longestPause: 2, ...options });
    opened.push(one);
    const worker = new Worker();
    one.queue.start(worker.work);
    return { queue: one.queue, worker };
  }

  async function end(): Promise<void> {
    const { queue, close } = opened.pop()!;
    await queue.close();
    close();
  }

  it('runs one job at a time, in the order they came', async () => {
    const { queue, worker } = start();
    await queue.push(['b', 'a']);
    await queue.push(['c']);
    expect(worker.started).toEqual(['b']);
    expect(queue.depth).toBe(3);
    for (const id of ['b', 'a', 'c']) {
      await expect.poll(() => worker.started.at(-1)).toBe(id);
      worker.finish(id);
    }
    await queue.idle();
    expect([worker.started, queue.depth]).toEqual([['b', 'a', 'c'], 0]);
  });

  it('runs what was pushed before it was started', async () => {
    const one = open(folder, { limit: 10 });
    opened.push(one);
    await one.queue.push(['a']);
    const worker = new Worker();
    one.queue.start(worker.work);
    await expect.poll(() => worker.started).toEqual(['a']);
    worker.finish('a');
    await one.queue.idle();
  });

  it('does not take a job twice', async () => {
    const { queue, worker } = start();
    await queue.push(['a', 'b']);
    await queue.push(['b']);
    await queue.restore([
      { id: 'a', account: '' },
      { id: 'b', account: '' },
    ]);
    expect(queue.depth).toBe(2);
    worker.finish('a');
    await expect.poll(() => worker.started).toEqual(['a', 'b']);
    worker.finish('b');
    await queue.idle();
    expect(worker.started).toEqual(['a', 'b']);
  });

  it('takes all of the jobs or none when they are more than its limit, except those of before', async () => {
    const { queue } = start({ limit: 2 });
    await queue.push(['a']);
    await expect(queue.push(['b', 'c'])).rejects.toMatchObject({ code: 'queueFull' });
    expect(queue.depth).toBe(1);
    await queue.restore([
      { id: 'b', account: '' },
      { id: 'c', account: '' },
    ]);
    expect(queue.depth).toBe(3);
  });

  it('writes down what the jobs are when it takes them, and takes none when that fails', async () => {
    const { queue, worker } = start({ limit: 1 });
    const unwritable = new Error('the disk is full');
    const record = () => {
      throw unwritable;
    };
    await expect(queue.push(['a'], { record })).rejects.toBe(unwritable);
    expect([queue.depth, worker.started]).toEqual([0, []]);
    await expect(queue.push(['a', 'b'], { record })).rejects.toMatchObject({ code: 'queueFull' });
    const seen: string[][] = [];
    await queue.push(['c'], { record: () => seen.push([...worker.started]) });
    expect([seen, worker.started]).toEqual([[[]], ['c']]);
  });

  it('begins a job once its record is flushed or the flush failed, and tells the pusher', async () => {
    const { queue, worker } = start();
    const written = Promise.withResolvers<void>();
    const pushing = queue.push(['a'], { flush: () => written.promise });
    await queue.push(['b']);
    expect(worker.started).toEqual([]);
    written.resolve();
    await pushing;
    await expect.poll(() => worker.started).toEqual(['a']);
    const broken = new Error('the disk is broken');
    await expect(queue.push(['c'], { flush: () => Promise.reject(broken) })).rejects.toBe(broken);
    expect(queue.depth).toBe(3);
  });

  it('lets a waiting job go when it is cancelled, and does not run it', async () => {
    const { queue, worker } = start();
    await queue.push(['a', 'b', 'c']);
    queue.cancel('b');
    expect(queue.depth).toBe(2);
    worker.finish('a');
    await expect.poll(() => worker.started).toEqual(['a', 'c']);
    worker.finish('c');
    await queue.idle();
  });

  it('tells the running job that it is cancelled, and goes on', async () => {
    const { queue, worker } = start();
    await queue.push(['a', 'b']);
    queue.cancel('a');
    await expect.poll(() => worker.started).toEqual(['a', 'b']);
    worker.finish('b');
    await queue.idle();
  });

  it('tries a job again whose end could not be written down, and does not count it as interrupted', async () => {
    const told: unknown[] = [];
    const { queue, worker } = start({ onPause: (error) => told.push(error) });
    await queue.push(['a', 'b']);
    const full = new Error('the disk is full');
    worker.fail('a', full);
    await expect.poll(() => worker.started).toEqual(['a', 'a']);
    worker.finish('a');
    await expect.poll(() => worker.started).toEqual(['a', 'a', 'b']);
    expect([worker.interruptions, told]).toEqual([[0, 0, 0], [full]]);
  });

  /** Runs every job to its end; their order. */
  async function drain(queue: Queue, worker: Worker): Promise<string[]> {
    for (let done = 0; queue.depth > 0; done++) {
      await expect.poll(() => worker.started.length).toBeGreaterThan(done);
      const { depth } = queue;
      worker.finish(worker.started.at(-1)!);
      await expect.poll(() => queue.depth).toBe(depth - 1);
    }
    return worker.started;
  }

  it('takes turns between accounts, job by job, and keeps the order within each', async () => {
    const { queue, worker } = start();
    await queue.push(['a1', 'a2', 'a3', 'a4'], { account: 'a' });
    await queue.push(['b1', 'b2'], { account: 'b' });
    await queue.push(['c1'], { account: 'c' });
    await queue.push(['a5'], { account: 'a' });
    const position = (id: string) => queue.position(id);
    expect(['a1', 'b1', 'c1', 'a2', 'a5', 'x'].map(position)).toEqual([0, 1, 2, 3, 7, undefined]);
    expect(await drain(queue, worker)).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3', 'a4', 'a5']);
  });

  it('gives an account that comes late the next turn, and no turns for the time when it had no jobs', async () => {
    const { queue, worker } = start();
    await queue.push(['a1', 'a2', 'a3', 'a4'], { account: 'a' });
    for (const id of ['a1', 'a2']) {
      worker.finish(id);
      await expect.poll(() => worker.started.at(-1)).not.toBe(id);
    }
    await queue.push(['b1', 'b2', 'b3'], { account: 'b' });
    expect(await drain(queue, worker)).toEqual(['a1', 'a2', 'a3', 'b1', 'a4', 'b2', 'b3']);
  });

  it('runs as many jobs at a time as there are engines, and takes the next when one ends', async () => {
    const { queue, worker } = start({ width: () => 2 });
    await queue.push(['a', 'b', 'c', 'd']);
    expect([worker.started, queue.position('c')]).toEqual([['a', 'b'], 2]);
    worker.finish('b');
    await expect.poll(() => worker.started).toEqual(['a', 'b', 'c']);
    for (const id of ['a', 'c']) worker.finish(id);
    await expect.poll(() => worker.started).toEqual(['a', 'b', 'c', 'd']);
    worker.finish('d');
    await queue.idle();
    expect(worker.interruptions).toEqual([0, 0, 0, 0]);
  });

  it('begins further jobs when it is told of more engines, and waits while there are none', async () => {
    let width = 0;
    const { queue, worker } = start({ width: () => width });
    await queue.push(['a', 'b', 'c']);
    expect(worker.started).toEqual([]);
    width = 2;
    queue.wake();
    expect(worker.started).toEqual(['a', 'b']);
    width = 3;
    queue.wake();
    expect(worker.started).toEqual(['a', 'b', 'c']);
  });

  it('gives the engine of a job that still stores its image to the next, but runs at most twice the engines', async () => {
    const { queue, worker } = start({ width: () => 2 });
    await queue.push(['a', 'b', 'c', 'd', 'e']);
    worker.release('a');
    worker.release('a');
    expect(worker.started).toEqual(['a', 'b', 'c']);
    for (const id of ['b', 'c']) worker.release(id);
    expect(worker.started).toEqual(['a', 'b', 'c', 'd']);
    worker.finish('a');
    await expect.poll(() => worker.started).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('finishes jobs one after the other where there is one engine', async () => {
    const { queue, worker } = start();
    await queue.push(['a', 'b']);
    worker.release('a');
    expect(worker.started).toEqual(['a']);
  });

  it('opens no transaction for an engine that is released and cannot take another job', async () => {
    let width = 1;
    const { queue, worker } = start({ width: () => width });
    const opened = vi.spyOn(Database.prototype, 'transaction');
    await queue.push(['a', 'b', 'c']);
    const before = opened.mock.calls.length;
    worker.release('a');
    expect(opened.mock.calls.length).toBe(before);
    width = 2;
    queue.wake();
    expect(worker.started).toEqual(['a', 'b', 'c']);
    opened.mockRestore();
  });

  it('takes turns between accounts over several engines, and a long job earns its account none', async () => {
    const { queue, worker } = start({ width: () => 2 });
    await queue.push(['long'], { account: 'a' });
    await queue.push(['b1', 'b2', 'b3', 'b4', 'b5'], { account: 'b' });
    for (const id of ['b1', 'b2', 'b3']) {
      await expect.poll(() => worker.started.at(-1)).toBe(id);
      if (id !== 'b3') worker.finish(id);
    }
    await queue.push(['c1', 'c2', 'c3'], { account: 'c' });
    for (const id of ['b3', 'c1', 'b4', 'c2', 'b5', 'c3']) {
      await expect.poll(() => worker.started.at(-1)).toBe(id);
      worker.finish(id);
    }
  });

  it('passes over jobs whose engines are in use, so that the engines of others are not idle', async () => {
    const widths: Record<string, number> = { x: 1, y: 2, absent: 0 };
    const { queue, worker } = start({ width: () => 3, widthFor: (needs) => widths[needs]! });
    await queue.push(['n1'], { needs: 'absent' });
    await queue.push(['x1', 'x2', 'x3'], { needs: 'x' });
    await queue.push(['y1', 'y2', 'y3'], { needs: 'y' });
    expect(worker.started).toEqual(['x1', 'y1', 'y2']);
    worker.finish('y1');
    await expect.poll(() => worker.started.slice(3)).toEqual(['y3']);
    worker.finish('x1');
    await expect.poll(() => worker.started.slice(4)).toEqual(['x2']);
    widths.absent = 1;
    queue.wake();
    expect(worker.started.slice(5)).toEqual(['n1']);
  });

  it('runs at most twice as many jobs as there are engines, whatever they need', async () => {
    const { queue, worker } = start({ width: () => 2 });
    for (const needs of ['v', 'w', 'x', 'y', 'z']) await queue.push([`${needs}1`], { needs });
    expect(worker.started).toEqual(['v1', 'w1', 'x1', 'y1']);
  });

  it('lets no account wait behind another one’s jobs because some of these had other engines', async () => {
    const { queue, worker } = start({ width: () => 2, widthFor: () => 1 });
    await queue.push(['x1', 'x2', 'x3', 'x4'], { account: 'a', needs: 'x' });
    await queue.push(['y1'], { account: 'a', needs: 'y' });
    await queue.push(['other'], { account: 'b', needs: 'x' });
    expect(worker.started).toEqual(['x1', 'y1']);
    worker.finish('x1');
    await expect.poll(() => worker.started.at(-1)).toBe('other');
  });

  it('stops only the job that is cancelled, and all of them at its end', async () => {
    const { queue, worker } = start({ width: () => 2 });
    await queue.push(['a', 'b', 'c']);
    queue.cancel('b');
    await expect.poll(() => worker.started).toEqual(['a', 'b', 'c']);
    await queue.close();
    expect(queue.depth).toBe(2);
  });

  it('tries each job again whose end could not be written down while others run', async () => {
    const { queue, worker } = start({ width: () => 2 });
    await queue.push(['a', 'b']);
    worker.fail('a', new Error('the disk is full'));
    await expect.poll(() => worker.started).toEqual(['a', 'b', 'a']);
    worker.finish('a');
    worker.finish('b');
    await queue.idle();
  });

  it('takes nothing once it is closed', async () => {
    const { queue } = start();
    await queue.close();
    await expect(queue.push(['a'])).rejects.toMatchObject({ code: 'queueClosed' });
  });

  it('lets the running job end within the grace of its closing, and begins no other', async () => {
    const { queue, worker } = start();
    await queue.push(['a', 'b']);
    const closing = queue.close(60_000);
    worker.finish('a');
    await closing;
    expect([worker.started, queue.depth]).toEqual([['a'], 1]);
  });

  it.runIf(durable)('goes on after its closing where it was', async () => {
    const first = start();
    await first.queue.push(['a', 'b', 'c']);
    first.worker.finish('a');
    await expect.poll(() => first.worker.started).toEqual(['a', 'b']);
    await end();
    const { queue, worker } = start();
    expect(queue.depth).toBe(2);
    for (const id of ['b', 'c']) {
      await expect.poll(() => worker.started.at(-1)).toBe(id);
      worker.finish(id);
    }
    await queue.idle();
    // An orderly end is not held against the job.
    expect(worker.interruptions).toEqual([0, 0]);
  });

  it.runIf(durable)('keeps the turns of accounts across a restart', async () => {
    const first = start();
    await first.queue.push(['a1', 'a2', 'a3'], { account: 'a' });
    await first.queue.push(['b1', 'b2'], { account: 'b' });
    await end();
    const { queue, worker } = start();
    await queue.push(['c1'], { account: 'c' });
    expect(await drain(queue, worker)).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
  });

  it.runIf(durable)('runs a job during which the process died after the others', async () => {
    const dead = open(folder, { limit: 10 });
    dead.queue.start(() => new Promise(() => {}));
    await dead.queue.push(['poison', 'b', 'c']);
    const one = open(folder, { limit: 10 });
    opened.push(one);
    await one.queue.restore([{ id: 'c', account: '' }]);
    const worker = new Worker();
    one.queue.start(worker.work);
    expect(await drain(one.queue, worker)).toEqual(['b', 'c', 'poison']);
    expect(worker.interruptions).toEqual([0, 0, 1]);
    dead.close();
  });

  it.runIf(durable)('counts the interruptions of a job whose process died', async () => {
    const one = open(folder, { limit: 10 });
    // The process is gone as far as the file knows: nothing is closed, nothing put back.
    one.queue.start(() => new Promise(() => {}));
    await one.queue.push(['a']);
    const { queue, worker } = start();
    expect([worker.started, worker.interruptions]).toEqual([['a'], [1]]);
    worker.finish('a');
    await queue.idle();
    one.close();
  });

  /** Processes that end in the middle of a job: nothing is closed, nothing put back. */
  async function interrupt(times: number): Promise<void> {
    for (let time = 0; time < times; time++) {
      const { queue, close } = open(folder, { limit: 10, firstRest: 0 });
      const begun = Promise.withResolvers<void>();
      queue.start(() => {
        begun.resolve();
        return new Promise(() => {});
      });
      if (time === 0) await queue.push(['a']);
      else await queue.restore([{ id: 'a', account: '' }]);
      await begun.promise;
      close();
    }
  }

  it.runIf(durable)(
    'lets a job with several interruptions rest, longer each time, and runs the others',
    async () => {
      await interrupt(4);
      const rests: [number, number][] = [];
      const one = open(folder, {
        limit: 10,
        firstRest: 25,
        longestRest: 60,
        onRest: (interruptions, milliseconds) => rests.push([interruptions, milliseconds]),
      });
      opened.push(one);
      const worker = new Worker();
      await one.queue.restore([{ id: 'a', account: '' }]);
      one.queue.start(worker.work);
      await one.queue.push(['b']);
      expect([worker.started, rests]).toEqual([['b'], [[4, 60]]]);
      worker.finish('b');
      await expect.poll(() => worker.started).toEqual(['b', 'a']);
      expect(worker.interruptions).toEqual([0, 4]);
      worker.finish('a');
      await one.queue.idle();
    },
  );

  it.runIf(durable)('lets a job that rests be cancelled', async () => {
    await interrupt(2);
    const one = open(folder, { limit: 10, firstRest: 600_000 });
    opened.push(one);
    const worker = new Worker();
    await one.queue.restore([{ id: 'a', account: '' }]);
    one.queue.start(worker.work);
    expect([one.queue.depth, worker.started]).toEqual([1, []]);
    one.queue.cancel('a');
    await one.queue.idle();
    expect([one.queue.depth, worker.started]).toEqual([0, []]);
  });

  it.runIf(durable)(
    'does not hold an end that was announced against the jobs that run or are begun later',
    async () => {
      const dying = open(folder, { limit: 10 });
      const doomed = new Worker();
      dying.queue.start(doomed.work);
      await dying.queue.push(['a', 'b']);
      dying.queue.announceEnd();
      doomed.finish('a');
      await expect.poll(() => doomed.started).toEqual(['a', 'b']);
      dying.close();
      const { queue, worker } = start();
      await expect.poll(() => worker.started).toEqual(['b']);
      expect(worker.interruptions).toEqual([0]);
      worker.finish('b');
      await queue.idle();
    },
  );

  it.runIf(durable)('counts the crashes of a job apart from its interruptions, and keeps them', async () => {
    const dying = open(folder, { limit: 10 });
    const doomed = new Worker();
    dying.queue.start(doomed.work);
    await dying.queue.push(['a', 'b']);
    doomed.countCrash();
    dying.close();
    const { queue, worker } = start();
    await expect.poll(() => worker.started).toEqual(['a']);
    worker.finish('a');
    await expect.poll(() => worker.started).toEqual(['a', 'b']);
    expect([worker.interruptions, worker.crashes]).toEqual([
      [1, 0],
      [1, 0],
    ]);
    worker.finish('b');
    await queue.idle();
  });
});
