/** The pairs of width and height that a model draws. */

import type { JsonSchema } from './fields.ts';

export type Size = readonly [width: number, height: number];

/** From a model's request schema, whose rule about sizes lists the pairs; none where it has no such rule. */
export function sizesOf(schema: JsonSchema): Size[] {
  const rule = schema.allOf?.find(({ anyOf }) => anyOf?.every(({ properties }) => properties?.width?.const));
  return (rule?.anyOf ?? []).map(({ properties }) => [
    Number(properties!.width!.const),
    Number(properties!.height!.const),
  ]);
}

/** The usual notation, 21:9 or 3:2, rounded if it is not exact. */
export function ratioName([width, height]: Size): string {
  const shapes = [
    [21, 9],
    [20, 9],
    [2, 1],
    [17, 9],
    [5, 3],
    [3, 2],
    [4, 3],
    [7, 6],
    [1, 1],
  ] as const;
  const long = Math.max(width, height) / Math.min(width, height);
  const distance = ([a, b]: readonly [number, number]) => Math.abs(a / b - long);
  const [a, b] = shapes.reduce((best, shape) => (distance(shape) < distance(best) ? shape : best));
  return width >= height ? `${a}:${b}` : `${b}:${a}`;
}

/** The pair whose shape is nearest to the picture's, which is the server's default. */
export function nearestSize(sizes: readonly Size[], width: number, height: number): Size | undefined {
  const wanted = Math.log(width / height);
  const distance = ([w, h]: Size) => Math.abs(Math.log(w / h) - wanted);
  return sizes.reduce<Size | undefined>(
    (best, size) => (best === undefined || distance(size) < distance(best) ? size : best),
    undefined,
  );
}
