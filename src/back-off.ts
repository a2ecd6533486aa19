/** Exponential back-off: `first`, doubled after each of `n` earlier failures, at most `longest`. Any unit of time. */
export function backOff(n: number, first: number, longest: number): number {
  return Math.min(first * 2 ** n, longest);
}
