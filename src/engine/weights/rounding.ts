/** The largest number below one half: adding one half gives 1, since the sum is rounded to even. */
const belowHalf = 0.5 - 2 ** -54;

/** Math.round for magnitudes below 2^52. The engine's own branches for each number, half of the time wrongly predicted. */
export function roundHalfUp(value: number): number {
  return value === belowHalf ? 0 : Math.floor(value + 0.5);
}
