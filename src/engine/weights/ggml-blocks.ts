/**
 * ggml's blocks of quantised numbers (ggml-common.h, ggml-quants.c `dequantize_row_*`). Every number is an integer q
 * of its group's scale, w = q·scale + offset, where `offset` is there for the types with a minimum (…_1, Q2_K, Q4_K, Q5_K).
 * The order of the f32 operations is ggml's, so that results agree with it to the last bit.
 */
import type { StoredType } from './stored.ts';

export type BlockTypeName = Extract<StoredType, `${'Q' | 'IQ'}${string}`>;

/** Numbers taken apart: `q` in the order of the row, one scale (and offset) for each `group` of them. */
export type Groups = { q: Int8Array; scale: Float32Array; offset: Float32Array | undefined; group: 16 | 32 };

type BlockType = {
  values: 32 | 256;
  bytes: number;
  group: 16 | 32;
  offset: boolean;
  /** Takes the block of `data` at byte `at` apart: integers to `out.q` from `q`, scales and offsets from `g`. */
  read(data: DataView, at: number, out: Groups, q: number, g: number): void;
};

/** f16 `d`, 16 bytes: the low nibbles are numbers 0 … 15, the high ones 16 … 31. w = (nibble − 8)·d */
const q4_0: BlockType = {
  values: 32,
  bytes: 18,
  group: 32,
  offset: false,
  read(data, at, out, q, g) {
    out.scale[g] = data.getFloat16(at, true);
    for (let j = 0; j < 16; j++) {
      const byte = data.getUint8(at + 2 + j);
      out.q[q + j] = (byte & 0x0f) - 8;
      out.q[q + 16 + j] = (byte >> 4) - 8;
    }
  },
};

/** f16 `d`, f16 `m`, nibbles as above. w = nibble·d + m */
const q4_1: BlockType = {
  values: 32,
  bytes: 20,
  group: 32,
  offset: true,
  read(data, at, out, q, g) {
    out.scale[g] = data.getFloat16(at, true);
    out.offset![g] = data.getFloat16(at + 2, true);
    for (let j = 0; j < 16; j++) {
      const byte = data.getUint8(at + 4 + j);
      out.q[q + j] = byte & 0x0f;
      out.q[q + 16 + j] = byte >> 4;
    }
  },
};

/** f16 `d`, u32 `qh` with the fifth bit of number j as its bit j, nibbles as above. w = (five bits − 16)·d */
const q5_0: BlockType = {
  values: 32,
  bytes: 22,
  group: 32,
  offset: false,
  read(data, at, out, q, g) {
    out.scale[g] = data.getFloat16(at, true);
    const high = data.getUint32(at + 2, true);
    for (let j = 0; j < 16; j++) {
      const byte = data.getUint8(at + 6 + j);
      out.q[q + j] = ((byte & 0x0f) | (((high >>> j) & 1) << 4)) - 16;
      out.q[q + 16 + j] = ((byte >> 4) | (((high >>> (j + 16)) & 1) << 4)) - 16;
    }
  },
};

/** f16 `d`, f16 `m`, `qh` and nibbles as above. w = five bits·d + m */
const q5_1: BlockType = {
  values: 32,
  bytes: 24,
  group: 32,
  offset: true,
  read(data, at, out, q, g) {
    out.scale[g] = data.getFloat16(at, true);
    out.offset![g] = data.getFloat16(at + 2, true);
    const high = data.getUint32(at + 4, true);
    for (let j = 0; j < 16; j++) {
      const byte = data.getUint8(at + 8 + j);
      out.q[q + j] = (byte & 0x0f) | (((high >>> j) & 1) << 4);
      out.q[q + 16 + j] = (byte >> 4) | (((high >>> (j + 16)) & 1) << 4);
    }
  },
};

/** f16 `d`, 32 signed bytes. w = byte·d */
const q8_0: BlockType = {
  values: 32,
  bytes: 34,
  group: 32,
  offset: false,
  read(data, at, out, q, g) {
    out.scale[g] = data.getFloat16(at, true);
    for (let j = 0; j < 32; j++) out.q[q + j] = data.getInt8(at + 2 + j);
  },
};

/**
 * The scales of Q4_K and Q5_K: f16 `d`, f16 `dmin`, then 12 bytes with a 6-bit scale and a 6-bit minimum for each of
 * eight groups. Bytes 0 … 3 and 4 … 7 hold those of groups 0 … 3 in their low six bits; the upper two bits are the
 * top of groups 4 … 7, whose low nibbles are in bytes 8 … 11 (scale low, minimum high).
 */
function readScales(data: DataView, at: number, { scale, offset }: Groups, g: number): void {
  const d = data.getFloat16(at, true);
  const dmin = data.getFloat16(at + 2, true);
  const byte = (i: number) => data.getUint8(at + 4 + i);
  for (let j = 0; j < 4; j++) {
    scale[g + j] = d * (byte(j) & 0x3f);
    offset![g + j] = -(dmin * (byte(4 + j) & 0x3f));
    scale[g + 4 + j] = d * ((byte(8 + j) & 0x0f) | ((byte(j) >> 6) << 4));
    offset![g + 4 + j] = -(dmin * ((byte(8 + j) >> 4) | ((byte(4 + j) >> 6) << 4)));
  }
}

/** Scales, 128 bytes: 32 at a time hold a group in their low nibbles and the next one in their high nibbles. */
const q4_K: BlockType = {
  values: 256,
  bytes: 144,
  group: 32,
  offset: true,
  read(data, at, out, q, g) {
    readScales(data, at, out, g);
    for (let pair = 0; pair < 4; pair++)
      for (let j = 0; j < 32; j++) {
        const byte = data.getUint8(at + 16 + 32 * pair + j);
        out.q[q + 64 * pair + j] = byte & 0x0f;
        out.q[q + 64 * pair + 32 + j] = byte >> 4;
      }
  },
};

/** Scales, 32 bytes `qh` whose bit i is the fifth bit of group i, nibbles as Q4_K. */
const q5_K: BlockType = {
  values: 256,
  bytes: 176,
  group: 32,
  offset: true,
  read(data, at, out, q, g) {
    readScales(data, at, out, g);
    for (let pair = 0; pair < 4; pair++)
      for (let j = 0; j < 32; j++) {
        const byte = data.getUint8(at + 48 + 32 * pair + j);
        const high = data.getUint8(at + 16 + j) >> (2 * pair);
        out.q[q + 64 * pair + j] = (byte & 0x0f) | ((high & 1) << 4);
        out.q[q + 64 * pair + 32 + j] = (byte >> 4) | ((high & 2) << 3);
      }
  },
};

/**
 * 128 bytes `ql`, 64 bytes `qh`, 16 signed scales, f16 `d`. A half (128 numbers) has 64 bytes of `ql`, whose low
 * nibbles are its first 64 numbers and whose high nibbles the rest, and 32 bytes of `qh`, which give two bits to each
 * quarter in turn. w = (six bits − 32)·(d·scale), a scale for 16 numbers
 */
const q6_K: BlockType = {
  values: 256,
  bytes: 210,
  group: 16,
  offset: false,
  read(data, at, out, q, g) {
    const d = data.getFloat16(at + 208, true);
    for (let j = 0; j < 16; j++) out.scale[g + j] = d * data.getInt8(at + 192 + j);
    for (let half = 0; half < 2; half++)
      for (let quarter = 0; quarter < 4; quarter++)
        for (let j = 0; j < 32; j++) {
          const low = data.getUint8(at + 64 * half + 32 * (quarter & 1) + j) >> (quarter < 2 ? 0 : 4);
          const high = data.getUint8(at + 128 + 32 * half + j) >> (2 * quarter);
          out.q[q + 128 * half + 32 * quarter + j] = ((low & 0x0f) | ((high & 3) << 4)) - 32;
        }
  },
};

/**
 * 16 bytes with a 4-bit scale (low nibble) and a 4-bit minimum of a group of 16 each, 64 bytes `qs`, f16 `d`, f16 `dmin`. A
 * half (128 numbers) has 32 bytes of `qs`, which give two bits to each quarter in turn.
 * w = (two bits)·(d·scale) − dmin·minimum
 */
const q2_K: BlockType = {
  values: 256,
  bytes: 84,
  group: 16,
  offset: true,
  read(data, at, out, q, g) {
    const d = data.getFloat16(at + 80, true);
    const dmin = data.getFloat16(at + 82, true);
    for (let j = 0; j < 16; j++) {
      const byte = data.getUint8(at + j);
      out.scale[g + j] = d * (byte & 0x0f);
      out.offset![g + j] = -(dmin * (byte >> 4));
    }
    for (let half = 0; half < 2; half++)
      for (let quarter = 0; quarter < 4; quarter++)
        for (let j = 0; j < 32; j++)
          out.q[q + 128 * half + 32 * quarter + j] =
            (data.getUint8(at + 16 + 32 * half + j) >> (2 * quarter)) & 3;
  },
};

/**
 * 32 bytes `hmask`, 64 bytes `qs` as in Q2_K, 12 bytes of sixteen 6-bit scales, f16 `d`. Bit i of `hmask` byte j belongs to
 * number 32·i + j; where it is 0 the number is 4 less. Scales 0 … 7 have their low four bits in the low nibbles of bytes
 * 0 … 7, scales 8 … 15 in the high ones; scale j has its top two bits in byte 8 + j mod 4, at bit 2·⌊j/4⌋.
 * w = (two bits − 4 or 0)·(d·(scale − 32))
 */
const q3_K: BlockType = {
  values: 256,
  bytes: 110,
  group: 16,
  offset: false,
  read(data, at, out, q, g) {
    const d = data.getFloat16(at + 108, true);
    const byte = (i: number) => data.getUint8(at + 96 + i);
    for (let j = 0; j < 16; j++) {
      const low = j < 8 ? byte(j) & 0x0f : byte(j - 8) >> 4;
      const high = (byte(8 + (j % 4)) >> (2 * (j >> 2))) & 3;
      out.scale[g + j] = d * ((low | (high << 4)) - 32);
    }
    for (let i = 0; i < 8; i++)
      for (let j = 0; j < 32; j++) {
        const bits = (data.getUint8(at + 32 + 32 * (i >> 2) + j) >> (2 * (i & 3))) & 3;
        const high = (data.getUint8(at + j) >> i) & 1;
        out.q[q + 32 * i + j] = bits - (high ? 0 : 4);
      }
  },
};

/** The sixteen levels of the IQ4 types (ggml-common.h, kvalues_iq4nl): denser near zero than at the ends. */
const levels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** f16 `d`, 16 bytes of nibbles as Q4_0 has them. w = level·d */
const iq4_nl: BlockType = {
  values: 32,
  bytes: 18,
  group: 32,
  offset: false,
  read(data, at, out, q, g) {
    out.scale[g] = data.getFloat16(at, true);
    readLevels(data, at + 2, out, q);
  },
};

/**
 * f16 `d`, u16 with the top two bits of the scales of eight groups, 4 bytes with their low four bits, two to a byte, then 16
 * bytes of nibbles for each group as Q4_0 has them. w = level·(d·(scale − 32))
 */
const iq4_xs: BlockType = {
  values: 256,
  bytes: 136,
  group: 32,
  offset: false,
  read(data, at, out, q, g) {
    const d = data.getFloat16(at, true);
    const high = data.getUint16(at + 2, true);
    for (let i = 0; i < 8; i++) {
      const low = (data.getUint8(at + 4 + (i >> 1)) >> (4 * (i & 1))) & 0x0f;
      out.scale[g + i] = d * ((low | (((high >> (2 * i)) & 3) << 4)) - 32);
      readLevels(data, at + 8 + 16 * i, out, q + 32 * i);
    }
  },
};

/** 16 bytes: the low nibbles are numbers 0 … 15, the high ones 16 … 31. */
function readLevels(data: DataView, at: number, out: Groups, q: number): void {
  for (let j = 0; j < 16; j++) {
    const byte = data.getUint8(at + j);
    out.q[q + j] = levels[byte & 0x0f]!;
    out.q[q + 16 + j] = levels[byte >> 4]!;
  }
}

export const blockTypes = {
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q8_0: q8_0,
  Q4_K: q4_K,
  Q5_K: q5_K,
  Q6_K: q6_K,
  Q2_K: q2_K,
  Q3_K: q3_K,
  IQ4_NL: iq4_nl,
  IQ4_XS: iq4_xs,
} as const satisfies Record<BlockTypeName, BlockType>;

export function isBlockType(dtype: StoredType): dtype is BlockTypeName {
  return Object.hasOwn(blockTypes, dtype);
}

export function readGroups(bytes: Buffer, dtype: BlockTypeName): Groups {
  const type: BlockType = blockTypes[dtype];
  const blocks = bytes.length / type.bytes;
  const perBlock = type.values / type.group;
  const out: Groups = {
    q: new Int8Array(blocks * type.values),
    scale: new Float32Array(blocks * perBlock),
    offset: type.offset ? new Float32Array(blocks * perBlock) : undefined,
    group: type.group,
  };
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let b = 0; b < blocks; b++) type.read(data, b * type.bytes, out, b * type.values, b * perBlock);
  return out;
}

/** w = q·scale + offset, rounded to f32 after each operation. */
export function dequantize({ q, scale, offset, group }: Groups): Float32Array<ArrayBuffer> {
  const out = new Float32Array(q.length);
  for (let g = 0; g < scale.length; g++) {
    const s = scale[g]!;
    for (let i = g * group; i < (g + 1) * group; i++) out[i] = q[i]! * s;
    if (offset) for (let i = g * group; i < (g + 1) * group; i++) out[i] = out[i]! + offset[g]!;
  }
  return out;
}
