/** The largest of many floats by magnitude, found by their bits: without the sign they are in its order, and integers are compared faster. */

export function bitsOf({ buffer, byteOffset, length }: Float32Array): Int32Array {
  return new Int32Array(buffer, byteOffset, length);
}

/** The first of those from `from` to `to` that are furthest from zero; NaN is further than any. */
export function indexOfLargest(bits: Int32Array, from: number, to: number): number {
  let largest = 0;
  let at = from;
  for (let i = from; i < to; i++) {
    const magnitude = bits[i]! & 0x7fffffff;
    if (magnitude > largest) {
      largest = magnitude;
      at = i;
    }
  }
  return at;
}
