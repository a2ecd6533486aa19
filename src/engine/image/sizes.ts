export type Size = { width: number; height: number };

/** The sizes Kontext was trained at, about one megapixel each: black-forest-labs/flux `util.py` `PREFERED_KONTEXT_RESOLUTIONS`. */
export const preferredSizes: readonly Size[] = [
  [672, 1568],
  [688, 1504],
  [720, 1456],
  [752, 1392],
  [800, 1328],
  [832, 1248],
  [880, 1184],
  [944, 1104],
  [1024, 1024],
  [1104, 944],
  [1184, 880],
  [1248, 832],
  [1328, 800],
  [1392, 752],
  [1456, 720],
  [1504, 688],
  [1568, 672],
].map(([width, height]) => ({ width: width!, height: height! }));

/**
 * The size that networks are chosen by before references are decoded: they are fitted to one of `preferredSizes`, each of
 * about one megapixel.
 */
export const referenceSize: Size = { width: 1024, height: 1024 };

/** The preferred size of the nearest aspect ratio; of two equally near, the narrower. */
export function nearestPreferredSize({ width, height }: Size, sizes: readonly Size[] = preferredSizes): Size {
  const distance = (size: Size) => Math.abs(size.width / size.height - width / height);
  return sizes.reduce((nearest, size) => (distance(size) < distance(nearest) ? size : nearest));
}

/** The size rounded up until `stride` divides both sides: the size of the network's images. */
export function padSize({ width, height }: Size, stride: number): Size {
  return { width: Math.ceil(width / stride) * stride, height: Math.ceil(height / stride) * stride };
}
