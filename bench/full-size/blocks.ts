/** Random blocks of ggml's quantised types, whose numbers have a given deviation (ggml-common.h has the layouts). */
import { type StoredType, storedTypes } from '../../src/engine/weights/stored.ts';

type Block = { data: DataView; at: number; std: number; word: () => number };

/** The numbers of a block are random bytes; its scales are overwritten. */
const scales: Partial<Record<StoredType, (block: Block) => void>> = {
  // Integers of −128 … 127 deviate by 74.
  Q8_0: ({ data, at, std, word }) => data.setFloat16(at, (std / 74) * near(word), true),
  // Numbers of 0 … 15 deviate by 4.6 around 7.5; six-bit scales and minima of 20 … 44, equal ones so that the mean is 0.
  Q4_K: ({ data, at, std, word }) => {
    const d = (std / (32 * 4.6)) * near(word);
    data.setFloat16(at, d, true);
    data.setFloat16(at + 2, 7.5 * d, true);
    writeScales(data, at + 4, word);
  },
  Q5_K: ({ data, at, std, word }) => {
    const d = (std / (32 * 9.2)) * near(word);
    data.setFloat16(at, d, true);
    data.setFloat16(at + 2, 15.5 * d, true);
    writeScales(data, at + 4, word);
  },
  // Sixteen signed scales after the bits of the numbers −32 … 31, then the block's.
  Q6_K: ({ data, at, std, word }) => {
    for (let i = 0; i < 16; i++) data.setInt8(at + 192 + i, 40 + (word() % 40));
    data.setFloat16(at + 208, (std / (60 * 18.5)) * near(word), true);
  },
};

export function writeBlocks(
  dtype: StoredType,
  { count, std }: { count: number; std: number },
  word: () => number,
): Uint8Array {
  const scale = scales[dtype];
  if (!scale) throw new Error(`Found ${dtype}, expected one of ${Object.keys(scales).join(', ')}.`);
  const size = storedTypes[dtype].bytes;
  const bytes = new Uint8Array(count * size);
  for (let i = 0; i < bytes.length; i++) bytes[i] = word() >>> 24;
  const data = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) scale({ data, at: i * size, std, word });
  return bytes;
}

function near(word: () => number): number {
  return 0.9 + (0.2 * word()) / 2 ** 32;
}

/** Eight scales and eight equal minima of six bits each, packed in twelve bytes. */
function writeScales(data: DataView, at: number, word: () => number): void {
  const values = Array.from({ length: 8 }, () => 20 + (word() % 25));
  for (let j = 0; j < 4; j++) {
    const [low, high] = [values[j]!, values[j + 4]!];
    const first = low | ((high >> 4) << 6);
    data.setUint8(at + j, first);
    data.setUint8(at + 4 + j, first);
    data.setUint8(at + 8 + j, (high & 15) | ((high & 15) << 4));
  }
}
