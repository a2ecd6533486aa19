/** Conversions of weights on several threads, with their results in the order asked for. */

import { Worker } from 'node:worker_threads';
import { fromErrorData } from '../../../error.ts';
import { programBeside } from '../../../program-beside.ts';
import { EngineError } from '../../errors.ts';
import { type Conversion, convert } from './layers.ts';
import type { Answer } from './worker.ts';

const defaultModule = programBeside(import.meta.url, 'worker');

type Bytes = ArrayBufferView<ArrayBuffer>;

/** Results wait for those before them to be written. Together with the work of the threads they stay below this. */
const largestWaiting = 192 * 2 ** 20;

/** Bytes of results that are worth the 50 ms until a thread has started. */
const worthThread = 16 * 2 ** 20;

/** More threads than this wait for the disk. */
const mostThreads = 8;

/** The threads that are worth starting for results of so many bytes; 1 stands for none beside the caller's. */
export function threadsFor(bytes: number, threads: number): number {
  return Math.max(1, Math.min(threads, mostThreads, Math.floor(bytes / worthThread)));
}

/**
 * Yields the results of the conversions, one after the other. All threads have ended when it returns or throws.
 *
 * @param threads below 2 the caller's own thread converts
 * @param module what the threads run
 * @throws RetouchError as `convert` does, for the first conversion that failed; `conversionFailed` when a thread died
 */
export async function* convertAll(
  conversions: readonly Conversion[],
  threads: number,
  module = defaultModule,
): AsyncGenerator<Bytes[]> {
  if (threads < 2) {
    for (const conversion of conversions) yield convert(conversion);
    return;
  }
  const workers = Array.from({ length: threads }, () => new ConversionThread(module));
  const idle = [...workers];
  const results: Promise<Bytes[]>[] = [];
  let waiting = 0;
  const start = () => {
    for (;;) {
      const next = conversions[results.length];
      if (!next || idle.length === 0 || (waiting > 0 && waiting + next.bytes > largestWaiting)) return;
      const worker = idle.pop()!;
      const result = worker.convert(next);
      waiting += next.bytes;
      results.push(result);
      result.then(
        () => {
          idle.push(worker);
          start();
        },
        // The error is thrown when this result's turn comes; until then the other threads go on.
        () => {},
      );
    }
  };
  try {
    for (const [i, { bytes }] of conversions.entries()) {
      start();
      yield await results[i]!;
      waiting -= bytes;
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.end()));
  }
}

class ConversionThread {
  readonly #worker: Worker;
  #answer: PromiseWithResolvers<Bytes[]> | undefined;
  #failure: Error | undefined;

  constructor(module: URL) {
    // Without the process's own flags: a test runner's or a profiler's are not for this thread.
    this.#worker = new Worker(module, { execArgv: [] });
    this.#worker.on('message', (answer: Answer) => {
      if ('bytes' in answer) this.#answer?.resolve(answer.bytes);
      else this.#answer?.reject(fromErrorData(answer.error));
    });
    this.#worker.on('error', (cause) => this.#fail(cause.message, cause));
    this.#worker.on('exit', (code) => this.#fail(`it ended with exit code ${code}`));
  }

  convert(conversion: Conversion): Promise<Bytes[]> {
    this.#answer = Promise.withResolvers();
    // A thread that died between two conversions would never answer.
    if (this.#failure) this.#answer.reject(this.#failure);
    else this.#worker.postMessage(conversion);
    return this.#answer.promise;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #fail(reason: string, cause?: Error): void {
    this.#failure ??= new EngineError(
      'conversionFailed',
      `A thread that converts weights failed: ${reason}`,
      {},
      { cause },
    );
    this.#answer?.reject(this.#failure);
  }
}
