import { describe, expect, it } from 'vitest';
import { MemoryQueue } from '../../src/queue/memory.ts';

/** Work that ends when the test says so. */
function createBench(limit = 10) {
  const started: string[] = [];
  const settlers = new Map<string, PromiseWithResolvers<string>>();
  const queue = new MemoryQueue(async (job: string, signal: AbortSignal) => {
    started.push(job);
    const settler = Promise.withResolvers<string>();
    settlers.set(job, settler);
    signal.addEventListener('abort', () => settler.reject(new Error('stopped')));
    return settler.promise;
  }, limit);
  return { queue, started, finish: (job: string) => settlers.get(job)!.resolve(`${job} done`), settlers };
}

describe('the queue', () => {
  it('runs one job at a time, in order', async () => {
    const { queue, started, finish } = createBench();
    const outcomes = [queue.push('a'), queue.push('b')];
    expect(started).toEqual(['a']);
    expect(queue.depth).toBe(2);
    finish('a');
    expect(await outcomes[0]).toBe('a done');
    await expect.poll(() => started).toEqual(['a', 'b']);
    finish('b');
    expect(await outcomes[1]).toBe('b done');
    await queue.idle();
    expect(queue.depth).toBe(0);
  });

  it('goes on after a job that fails', async () => {
    const { queue, settlers, finish, started } = createBench();
    const [first, second] = [queue.push('a'), queue.push('b')];
    settlers.get('a')!.reject(new Error('no'));
    await expect(first).rejects.toThrow('no');
    await expect.poll(() => started).toEqual(['a', 'b']);
    finish('b');
    expect(await second).toBe('b done');
  });

  it('lets a waiting job go at once when it is cancelled', async () => {
    const { queue, started, finish } = createBench();
    const first = queue.push('a');
    const cancel = new AbortController();
    const second = queue.push('b', cancel.signal);
    cancel.abort();
    await expect(second).rejects.toMatchObject({ code: 'jobAborted' });
    expect(queue.depth).toBe(1);
    finish('a');
    await first;
    await queue.idle();
    expect(started).toEqual(['a']);
  });

  it('stops the running job when it is cancelled', async () => {
    const { queue } = createBench();
    const cancel = new AbortController();
    const running = queue.push('a', cancel.signal);
    cancel.abort();
    await expect(running).rejects.toMatchObject({ code: 'jobAborted' });
  });

  it('takes no more than its limit', async () => {
    const { queue, finish } = createBench(1);
    const first = queue.push('a');
    await expect(queue.push('b')).rejects.toMatchObject({ code: 'queueFull' });
    finish('a');
    await first;
  });

  it('refuses all jobs once it is closed', async () => {
    const { queue } = createBench();
    const outcomes = Promise.allSettled([queue.push('a'), queue.push('b')]);
    await queue.close();
    const refused = { status: 'rejected', reason: { code: 'queueClosed' } };
    expect(await outcomes).toMatchObject([refused, refused]);
    await expect(queue.push('c')).rejects.toMatchObject({ code: 'queueClosed' });
  });
});
