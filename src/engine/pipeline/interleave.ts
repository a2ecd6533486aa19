import { EngineError } from '../errors.ts';

/** Waits until the consumer of the events has taken the report. */
export type Report<R> = (report: R) => Promise<void>;

/**
 * The items of `work`, and between them what it reports while it makes the next one. Work goes on when its report is
 * taken, since computing blocks the thread: a report that is only queued would arrive after the work it announces. Leaving
 * the loop at a report ends the work with `engineAborted`.
 */
export async function* interleave<T, R>(
  work: (report: Report<R>) => AsyncGenerator<T>,
): AsyncGenerator<{ item: T } | { report: R }> {
  type Waiting = { report: R; resolve: () => void; reject: (error: Error) => void };
  const waiting: Waiting[] = [];
  let wake = () => {};
  const report = (value: R) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    waiting.push({ report: value, resolve, reject });
    wake();
    return promise;
  };
  const items = work(report);
  try {
    for (;;) {
      let isSettled = false;
      const settle = () => {
        isSettled = true;
        wake();
      };
      const next = items.next();
      next.then(settle, settle);
      while (!isSettled || waiting.length > 0) {
        const [first] = waiting;
        if (first) {
          yield { report: first.report };
          waiting.shift();
          first.resolve();
        }
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        if (!isSettled && waiting.length === 0) await promise;
      }
      const result = await next;
      if (result.done) return;
      yield { item: result.value };
    }
  } finally {
    const stopped = new EngineError('engineAborted', 'The run was stopped.');
    for (const { reject } of waiting) reject(stopped);
    await items.return(undefined).catch(() => {});
  }
}
