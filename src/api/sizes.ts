/** The sizes that FLUX.1 Kontext draws, as the model page lists them (widest first). */

export type Size = readonly [width: number, height: number];

export const listedSizes: readonly Size[] = [
  [1568, 672],
  [1504, 688],
  [1456, 720],
  [1392, 752],
  [1328, 800],
  [1248, 832],
  [1184, 880],
  [1104, 944],
  [1024, 1024],
  [944, 1104],
  [880, 1184],
  [832, 1248],
  [800, 1328],
  [752, 1392],
  [720, 1456],
  [688, 1504],
  [672, 1568],
];

export function sizeName([width, height]: Size): string {
  return `${width}x${height}`;
}

export function hasSize(sizes: readonly Size[], width: number, height: number): boolean {
  return sizes.some((size) => size[0] === width && size[1] === height);
}

/** The size whose shape is nearest to width : height; a ratio and its inverse are equally far from square. */
export function nearestSize(sizes: readonly Size[], width: number, height: number): Size {
  const shape = Math.log(width / height);
  const distance = (size: Size) => Math.abs(Math.log(size[0] / size[1]) - shape);
  return sizes.reduce((best, size) => (distance(size) < distance(best) ? size : best));
}
