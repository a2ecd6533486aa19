/** Positions of tokens, (image, row, column), for the rotary embedding: [S, 3], row-major, f32. */

/** Token ids of the second and later references: `offset` (ComfyUI) or `index`; see `referenceIds`. */
export type ReferenceIds = 'offset' | 'index';

/** The sides of an image in tokens, half its latent's. */
export type TokenGrid = { rows: number; columns: number };

/** Text has no position: all zeros, [length, 3]. */
export function textIds(length: number): Float32Array {
  return new Float32Array(length * 3);
}

/** The image being made is image 0. [rows · columns, 3]. */
export function targetIds(grid: TokenGrid): Float32Array {
  return gridIds(grid, 0, 0, 0);
}

/**
 * The references, one array for each. Kontext was trained on one, image 1 at the origin. There are two conventions for
 * more: `index` numbers them 1, 2, 3 …; `offset` keeps the number 1 and places them on one canvas, each to the right of
 * or below the earlier ones, whichever keeps the canvas squarer (ComfyUI `comfy/ldm/flux/model.py`, method "offset").
 */
export function referenceIds(grids: readonly TokenGrid[], method: ReferenceIds): Float32Array[] {
  if (method === 'index') return grids.map((grid, i) => gridIds(grid, i + 1, 0, 0));
  let rows = 0;
  let columns = 0;
  return grids.map((grid) => {
    const right = grid.rows + rows > grid.columns + columns;
    const row = right ? 0 : rows;
    const column = right ? columns : 0;
    rows = Math.max(rows, row + grid.rows);
    columns = Math.max(columns, column + grid.columns);
    return gridIds(grid, 1, row, column);
  });
}

function gridIds(
  { rows, columns }: TokenGrid,
  image: number,
  firstRow: number,
  firstColumn: number,
): Float32Array {
  const ids = new Float32Array(rows * columns * 3);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      ids[i++] = image;
      ids[i++] = firstRow + row;
      ids[i++] = firstColumn + column;
    }
  }
  return ids;
}
