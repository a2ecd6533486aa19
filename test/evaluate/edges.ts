/** How crisp the edges are that an edit draws: their 10-90 % width. */
import type { Bitmap } from '../../src/engine/image/pixels.ts';

/** Pixels on either side of an edge that are looked at, and those next to it that may be blended in the drawing itself. */
const reach = 8;
const blended = 2;
/** Levels of brightness: an edge of the drawing is at least so high, and the fields beside it are at most so uneven. */
const levels = { step: 80, even: 12 };

/**
 * Widths in pixels along rows, at every place among these pixels where the true picture has a sharp vertical edge
 * between two even fields; where the result has no edge of half the height, or one wider than the neighbourhood, that is
 * the whole neighbourhood.
 */
export function edgeWidths(result: Bitmap, truth: Bitmap, pixels: readonly number[]): number[] {
  const { width } = truth;
  return pixels.flatMap((pixel) => {
    const x = pixel % width;
    if (x < reach || x + reach >= width) return [];
    if (Math.abs(brightness(truth, pixel + 1) - brightness(truth, pixel - 1)) < levels.step / 2) return [];
    const drawn = profile(truth, pixel);
    if (!isEdge(drawn)) return [];
    return [widthOf(profile(result, pixel), drawn[2 * reach]! - drawn[0]!)];
  });
}

function brightness({ data }: Bitmap, pixel: number): number {
  return 0.299 * data[pixel * 3]! + 0.587 * data[pixel * 3 + 1]! + 0.114 * data[pixel * 3 + 2]!;
}

/** Brightness of a pixel and its neighbours in the row. */
function profile(bitmap: Bitmap, pixel: number): number[] {
  return Array.from({ length: 2 * reach + 1 }, (_, i) => brightness(bitmap, pixel + i - reach));
}

function isEdge(drawn: readonly number[]): boolean {
  const [left, right] = [drawn.slice(0, reach - blended), drawn.slice(reach + blended + 1)];
  const spread = (side: readonly number[]) => Math.max(...side) - Math.min(...side);
  const before = drawn[reach - 1]!;
  // The steepest place alone, not its neighbours as well.
  const middle = (drawn[0]! + drawn[2 * reach]!) / 2;
  const crosses = (drawn[reach]! - middle) * (before - middle) <= 0 && before !== middle;
  return (
    crosses &&
    Math.abs(drawn[2 * reach]! - drawn[0]!) >= levels.step &&
    spread(left) <= levels.even &&
    spread(right) <= levels.even
  );
}

/** `height` is that of the drawing's edge, with its sign. */
function widthOf(found: readonly number[], height: number): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value) / values.length;
  const [low, high] = [mean(found.slice(0, 4)), mean(found.slice(-4))];
  if ((high - low) / height < 0.5) return 2 * reach;
  const risen = found.map((value) => (value - low) / (high - low));
  const middle = risen.findIndex((share, i) => i > 0 && share >= 0.5 && risen[i - 1]! < 0.5);
  if (middle < 0) return 2 * reach;
  let [from, to] = [middle - 1, middle];
  while (from > 0 && risen[from]! > 0.1) from--;
  while (to < 2 * reach && risen[to]! < 0.9) to++;
  if (risen[from]! > 0.1 || risen[to]! < 0.9) return 2 * reach;
  const crossing = (share: number, i: number) => i + (share - risen[i]!) / (risen[i + 1]! - risen[i]!);
  return crossing(0.9, to - 1) - crossing(0.1, from);
}
