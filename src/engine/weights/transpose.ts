/** Transposes bytes in groups of four by four: a matrix whose lines begin at whole words is read and written word by word. */

type Matrix = { bytes: Int8Array; stride: number; rows: number; columns: number };

/**
 * Row n of `from` becomes column `at + n` of the row-major matrix `to`.
 *
 * @param stride bytes from a row of `to` to the next
 */
export function transposeBytes(
  from: Matrix,
  to: Int8Array<ArrayBuffer>,
  { stride, at }: { stride: number; at: number },
): void {
  const { bytes, rows, columns } = from;
  const isWhole = [from.stride, bytes.byteOffset, rows, columns, stride, at, to.byteOffset, to.length];
  if (isWhole.every((count) => count % 4 === 0)) transposeWords(from, to, { stride, at });
  else
    for (let k = 0; k < columns; k++)
      for (let n = 0; n < rows; n++) to[k * stride + at + n] = bytes[n * from.stride + k]!;
}

function transposeWords(
  { bytes, stride, rows, columns }: Matrix,
  to: Int8Array<ArrayBuffer>,
  place: { stride: number; at: number },
): void {
  const read = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const written = new Int32Array(to.buffer, to.byteOffset, to.length / 4);
  const [line, out] = [stride / 4, place.stride / 4];
  for (let k = 0; k < columns / 4; k++)
    for (let n = 0; n < rows / 4; n++) {
      const i = 4 * n * line + k;
      const a = read[i]!;
      const b = read[i + line]!;
      const c = read[i + 2 * line]!;
      const d = read[i + 3 * line]!;
      const o = 4 * k * out + place.at / 4 + n;
      written[o] = (a & 0xff) | ((b & 0xff) << 8) | ((c & 0xff) << 16) | (d << 24);
      written[o + out] = ((a >>> 8) & 0xff) | (b & 0xff00) | ((c & 0xff00) << 8) | ((d & 0xff00) << 16);
      written[o + 2 * out] =
        ((a >>> 16) & 0xff) | ((b >>> 8) & 0xff00) | (c & 0xff0000) | ((d & 0xff0000) << 8);
      written[o + 3 * out] = (a >>> 24) | ((b >>> 16) & 0xff00) | ((c >>> 8) & 0xff0000) | (d & 0xff000000);
    }
}
