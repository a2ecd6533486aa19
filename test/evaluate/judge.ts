/** Judges the result of an instruction by the expected picture. */
import type { Bitmap } from '../../src/engine/image/pixels.ts';
import { edgeWidths } from './edges.ts';
import { median } from './median.ts';
import type { Case, Scenes } from './scenes.ts';

export type Verdict = {
  /** Whether the edit succeeded: everything that must appear or disappear has. */
  done: boolean;
  /** No thing that the instruction does not touch is damaged, and nothing has appeared elsewhere. */
  intact: boolean;
  /** PSNR in dB at least 16 pixels away from the change; undefined if that area is too small to measure. */
  outside: number | undefined;
  /** Pixels from 10 to 90 % of the edges that had to be drawn; the median. Undefined without vertical edges. */
  edge: number | undefined;
};

/** dB to the picture before that an instruction must leave which asks for nothing. */
const unchanged = 45;
/** Levels (of 255): a pixel is right within `near`; a median colour within `median`; above `changed` a pixel had to change. */
const levels = { near: 51, median: 31, changed: 10 };
/** Shares of the pixels that must be right: of a part of the picture, and of everything that had to stay. */
const shares = { part: 0.85, rest: 0.99 };
const margin = 16;

/** `before` is undefined for text-to-image: then everything had to change. Pictures are of the case's size. */
export function judge(scenes: Scenes, task: Case, before: Bitmap | undefined, result: Bitmap): Verdict {
  const truth = scenes.render(task.after, task);
  const isRight = (pixels: readonly number[]) => matches(result, truth, pixels);
  const same = (a: object, b: object) => JSON.stringify(a) === JSON.stringify(b);
  if (!before) {
    const things = task.after.things.map((thing) => scenes.covered(thing, task));
    const occupied = new Set(things.flat());
    const field = range(task.width * task.height).filter((pixel) => !occupied.has(pixel));
    const edge = median(edgeWidths(result, truth, range(task.width * task.height)));
    return { done: [...things, field].every(isRight), intact: true, outside: undefined, edge };
  }
  const changed = range(task.width * task.height).filter(
    (pixel) => distance(before, truth, pixel) > levels.changed,
  );
  const was = task.before!.things;
  const now = task.after.things;
  const gone = was.filter((thing) => !now.some((other) => same(thing, other)));
  const come = now.filter((thing) => !was.some((other) => same(thing, other)));
  const stayed = now.filter((thing) => was.some((other) => same(thing, other)));
  const isChanged = new Set(changed);
  const of = (thing: (typeof now)[number]) => scenes.covered(thing, task);
  // A large change, such as the background's, must not outweigh a small one.
  const parts = [
    ...come.map((thing) => of(thing)),
    ...gone.map((thing) => of(thing).filter((pixel) => isChanged.has(pixel))),
    changed,
  ];
  const rest = away(changed, task);
  const outside = rest.length > 1000 ? decibels(result, truth, rest) : undefined;
  return {
    done: changed.length === 0 ? outside! >= unchanged : parts.every(isRight),
    intact: stayed.every((thing) => isRight(of(thing))) && shareRight(result, truth, rest) >= shares.rest,
    outside,
    edge: median(edgeWidths(result, truth, changed)),
  };
}

function matches(result: Bitmap, truth: Bitmap, pixels: readonly number[]): boolean {
  if (pixels.length === 0) return true;
  const isNear = [0, 1, 2].every(
    (channel) =>
      Math.abs(medianLevel(result, pixels, channel) - medianLevel(truth, pixels, channel)) < levels.median,
  );
  return isNear && shareRight(result, truth, pixels) >= shares.part;
}

function shareRight(result: Bitmap, truth: Bitmap, pixels: readonly number[]): number {
  let right = 0;
  for (const pixel of pixels) if (distance(result, truth, pixel) < levels.near) right++;
  return pixels.length === 0 ? 1 : right / pixels.length;
}

/** The greatest difference of a pixel's channels. */
function distance(a: Bitmap, b: Bitmap, pixel: number): number {
  let most = 0;
  for (let i = pixel * 3; i < pixel * 3 + 3; i++) most = Math.max(most, Math.abs(a.data[i]! - b.data[i]!));
  return most;
}

function medianLevel(bitmap: Bitmap, pixels: readonly number[], channel: number): number {
  const counts = new Uint32Array(256);
  for (const pixel of pixels) counts[bitmap.data[pixel * 3 + channel]!]!++;
  let left = pixels.length / 2;
  return counts.findIndex((count) => (left -= count) <= 0);
}

function decibels(a: Bitmap, b: Bitmap, pixels: readonly number[]): number {
  let sum = 0;
  for (const pixel of pixels)
    for (let i = pixel * 3; i < pixel * 3 + 3; i++) sum += (a.data[i]! - b.data[i]!) ** 2;
  return 10 * Math.log10(255 ** 2 / Math.max(sum / pixels.length / 3, 1e-3));
}

/** The pixels that are further than the margin from every one of these, in a square neighbourhood. */
function away(changed: readonly number[], { width, height }: { width: number; height: number }): number[] {
  const near = new Uint8Array(width * height);
  for (const pixel of changed) near[pixel] = 1;
  spread(near, width, height, 1, width);
  spread(near, height, width, width, 1);
  return range(near.length).filter((pixel) => near[pixel] === 0);
}

/** Widens every run of ones along lines of `length` pixels, `step` apart, by the margin. */
function spread(mask: Uint8Array, length: number, lines: number, step: number, lineStep: number): void {
  for (let line = 0; line < lines; line++) {
    let reach = 0;
    const source = Uint8Array.from({ length }, (_, i) => mask[line * lineStep + i * step]!);
    for (let i = -margin; i < length; i++) {
      if (source[i + margin] === 1) reach = 2 * margin + 1;
      if (i >= 0 && reach > 0) mask[line * lineStep + i * step] = 1;
      reach--;
    }
  }
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i);
