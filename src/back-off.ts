import { setTimeout as sleep } from 'node:timers/promises';

/** Exponential back-off: `first`, doubled after each of `n` earlier failures, at most `longest`. Any unit of time. */
export function backOff(n: number, first: number, longest: number): number {
  return Math.min(first * 2 ** n, longest);
}

export type Retries = {
  /** Milliseconds before the second try; doubled after each failure. */
  firstPause: number;
  longestPause: number;
  /** Whether the error, of the try number `failures`, may pass by itself. */
  isPassing(error: unknown, failures: number): boolean;
  /** Ends the tries. */
  signal?: AbortSignal | undefined;
  /** Whether a pause keeps the process alive; true by default. */
  ref?: boolean;
};

/** Tries until it succeeds. Throws the first error that does not pass, and the reason of `signal`. */
export async function retry<Result>(
  action: () => Promise<Result>,
  { firstPause, longestPause, isPassing, signal, ref = true }: Retries,
): Promise<Result> {
  for (let failures = 0; ; failures++) {
    signal?.throwIfAborted();
    try {
      return await action();
    } catch (error) {
      if (!isPassing(error, failures + 1)) throw error;
    }
    const pause = backOff(failures, firstPause, longestPause);
    await sleep(pause, undefined, { ref, ...(signal && { signal }) }).catch(() => {});
  }
}
