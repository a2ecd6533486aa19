/** Boxes of faces: overlap, suppression and order. */
import type { Box } from '../image/box.ts';
import type { Size } from '../image/sizes.ts';

export type Face = Box & { score: number };

function area({ left, top, right, bottom }: Box): number {
  return Math.max(right - left, 0) * Math.max(bottom - top, 0);
}

function intersect(a: Box, b: Box): Box {
  return {
    left: Math.max(a.left, b.left),
    top: Math.max(a.top, b.top),
    right: Math.min(a.right, b.right),
    bottom: Math.min(a.bottom, b.bottom),
  };
}

/** Intersection over union. */
export function overlap(a: Box, b: Box): number {
  const shared = area(intersect(a, b));
  return shared === 0 ? 0 : shared / (area(a) + area(b) - shared);
}

/**
 * Greedy non-maximum suppression: in order of falling score, keeps boxes whose overlap with every kept box is at most
 * `limit`.
 */
export function suppress<T extends Face>(faces: readonly T[], limit: number, most: number): T[] {
  const taken: T[] = [];
  for (const face of [...faces].sort((a, b) => b.score - a.score)) {
    if (taken.length === most) break;
    if (taken.every((other) => overlap(face, other) <= limit)) taken.push(face);
  }
  return taken;
}

/** The `most` faces that score highest, in the order in which they came. */
export function bestFaces(faces: readonly Face[], most: number): Face[] {
  const best = new Set([...faces].sort((a, b) => b.score - a.score).slice(0, most));
  return faces.filter((face) => best.has(face));
}

/** The parts inside the image, the largest first: the order in which faces are refined. */
export function arrange(faces: readonly Face[], { width, height }: Size): Face[] {
  const image = { left: 0, top: 0, right: width, bottom: height };
  return faces
    .map((face) => ({ ...intersect(face, image), score: face.score }))
    .filter((face) => area(face) > 0)
    .sort((a, b) => area(b) - area(a));
}
