/**
 * Bytes of normally distributed numbers in any stored type. Each type and deviation has a pool of some million numbers,
 * and every tensor reads it from a place of its own, so that no two tensors are equal.
 */
import { e4m3 } from '../../src/engine/weights/float8.ts';
import { bytesOf, countOf, type StoredType, storedTypes } from '../../src/engine/weights/stored.ts';
import { writeBlocks } from './blocks.ts';
import type { Tensor } from './tensor.ts';

/** Prime, so that no row of a matrix begins where another one did. */
const poolCount = 4_194_319;
const poolBlocks = 65_537;
/** Bytes of a piece; the writers hold one at a time. */
const pieceBytes = 1 << 24;

export class Values {
  private readonly pools = new Map<string, Uint8Array>();
  private readonly normal: Float32Array;
  private state: number;

  constructor(seed: number) {
    this.state = seed;
    this.normal = Float32Array.from({ length: 1 << 16 }, () => this.gauss()).sort();
  }

  *bytes({ dtype, shape, mean, std }: Tensor): Iterable<Uint8Array> {
    const length = bytesOf(dtype, countOf(shape));
    if (length === 0) return;
    if (std === 0) {
      yield encode(dtype, Float32Array.of(mean));
      return;
    }
    const pool = this.pool(dtype, mean, std);
    const item = storedTypes[dtype].bytes;
    let at = Math.floor(this.uniform() * (pool.length / item)) * item;
    for (let left = length; left > 0; ) {
      const piece = pool.subarray(at, at + Math.min(left, pieceBytes));
      yield piece;
      left -= piece.length;
      at = (at + piece.length) % pool.length;
    }
  }

  private pool(dtype: StoredType, mean: number, std: number): Uint8Array {
    const key = `${dtype} ${mean} ${std}`;
    const known = this.pools.get(key);
    if (known) return known;
    const made =
      storedTypes[dtype].values > 1
        ? writeBlocks(dtype, { count: poolBlocks, std }, () => this.word())
        : this.numbers(dtype, mean, std);
    this.pools.set(key, made);
    return made;
  }

  /** Encodes the quantiles of the distribution once, and draws from them. */
  private numbers(dtype: StoredType, mean: number, std: number): Uint8Array {
    const table = encode(
      dtype,
      this.normal.map((value) => mean + std * value),
    );
    const { bytes } = storedTypes[dtype];
    const View = bytes === 4 ? Uint32Array : bytes === 2 ? Uint16Array : Uint8Array;
    const codes = new View(table.buffer, table.byteOffset, table.length / bytes);
    const drawn = new View(poolCount);
    for (let i = 0; i < poolCount; i++) drawn[i] = codes[this.word() >>> 16]!;
    return new Uint8Array(drawn.buffer);
  }

  private gauss(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  private uniform(): number {
    return this.word() / 2 ** 32;
  }

  /** 32 random bits: mulberry32, whose high bits are as good as its low ones. */
  private word(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }
}

function encode(dtype: StoredType, values: Float32Array): Uint8Array<ArrayBuffer> {
  switch (dtype) {
    case 'F32':
      return new Uint8Array(values.slice().buffer);
    case 'F16':
      return new Uint8Array(new Float16Array(values).buffer);
    case 'BF16':
      return new Uint8Array(
        Uint16Array.from(new Uint32Array(values.slice().buffer), (bits) => bits >>> 16).buffer,
      );
    case 'F8_E4M3':
      return Uint8Array.from(values, nearestE4m3);
    default:
      throw new Error(`Found ${dtype}, expected F32, F16, BF16, F8_E4M3 or a type of blocks.`);
  }
}

/** Codes 0 … 0x7e are the positive numbers in ascending order. */
function nearestE4m3(value: number): number {
  const size = Math.min(Math.abs(value), 448);
  let [low, high] = [0, 0x7e];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (e4m3[middle]! <= size) low = middle;
    else high = middle;
  }
  const code = size - e4m3[low]! <= e4m3[high]! - size ? low : high;
  return value < 0 ? code | 0x80 : code;
}
