/**
 * The random stream of torch's CPU generator, so that a seed means the same noise here, in diffusers and in ComfyUI.
 * aten/src/ATen/core/MT19937RNGEngine.h (the words), aten/src/ATen/native/cpu/DistributionTemplates.h (the draws).
 */

import { roundToBfloat16 } from './bfloat16.ts';
import { Philox } from './philox.ts';

const { fround, sqrt, log, log1p, cos, sin, PI } = Math;

/** The state length of mt19937, and the distance of its recurrence. */
const N = 624;
const M = 397;

/** torch keeps 24 bits for a float (8 for a bfloat16 in releases before it drew halves in f32) and 53 for a double. */
const FLOAT_UNIT = 2 ** -24;
const BFLOAT16_UNIT = 2 ** -8;
const DOUBLE_UNIT = 2 ** -53;

const TWO_PI = fround(2 * PI);

/** Random stream that a seed begins: torch's on the CPU, the same as older torch drew bf16, or torch's on an NVIDIA GPU. */
export type NoiseName = 'f32' | 'bf16_legacy' | 'philox';

/** Standard normal numbers of a seed, `count` at a time, from the stream that `noise` names. */
export function noiseStream(seed: bigint, noise: NoiseName): (count: number) => Float32Array {
  if (noise === 'philox') {
    const philox = new Philox(seed);
    return (count) => philox.randn(count);
  }
  const generator = new Generator(seed);
  return (count) => generator.randn(count, noise);
}

export class Generator {
  readonly #state = new Uint32Array(N);
  #position = N;
  /** The second value of the last double-precision pair; torch keeps it between calls too. */
  #spareNormal: number | undefined;

  /** Only the low 32 bits of the seed count, as in torch. */
  constructor(seed: bigint) {
    const state = this.#state;
    state[0] = Number(BigInt.asUintN(32, seed));
    for (let j = 1; j < N; j++) {
      const previous = state[j - 1]! ^ (state[j - 1]! >>> 30);
      state[j] = Math.imul(1812433253, previous) + j;
    }
  }

  /** The next raw word, 0 … 2^32-1. */
  word(): number {
    if (this.#position === N) this.#twist();
    let y = this.#state[this.#position++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    for (let j = 0; j < N; j++) {
      const y = (state[j]! & 0x80000000) | (state[(j + 1) % N]! & 0x7fffffff);
      state[j] = state[(j + M) % N]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#position = 0;
  }

  /** `torch.rand(count)`: uniform in [0, 1). */
  rand(count: number): Float32Array {
    return Float32Array.from({ length: count }, () => (this.word() & 0xffffff) * FLOAT_UNIT);
  }

  /**
   * `torch.randn(count)`, row-major for any shape; within 5e-7 of torch's vectorised kernels. `bf16_legacy` is the
   * result of `randn(dtype=torch.bfloat16)` before torch drew halves in f32: another stream, not a rounding of this one.
   */
  randn(count: number, noise: Exclude<NoiseName, 'philox'> = 'f32'): Float32Array {
    const legacy = noise === 'bf16_legacy';
    if (count < 16) {
      return Float32Array.from({ length: count }, () => {
        const value = this.#normal();
        return legacy ? roundToBfloat16(value) : value;
      });
    }
    const data = new Float32Array(count);
    const uniform = legacy
      ? () => (this.word() & 0xff) * BFLOAT16_UNIT
      : () => (this.word() & 0xffffff) * FLOAT_UNIT;
    const boxMuller = legacy ? boxMullerBfloat16 : boxMullerFloat;
    for (let i = 0; i < count; i++) data[i] = uniform();
    for (let i = 0; i + 16 <= count; i += 16) boxMuller(data, i);
    if (count % 16 !== 0) {
      // torch redraws the last sixteen, so the tail overwrites part of the block before it.
      for (let i = count - 16; i < count; i++) data[i] = uniform();
      boxMuller(data, count - 16);
    }
    return data;
  }

  /** One value of `at::normal_distribution<double>`. */
  #normal(): number {
    const spare = this.#spareNormal;
    this.#spareNormal = undefined;
    if (spare !== undefined) return spare;
    const u1 = this.#double();
    const u2 = this.#double();
    const radius = sqrt(-2 * log1p(-u2));
    this.#spareNormal = radius * sin(2 * PI * u1);
    return radius * cos(2 * PI * u1);
  }

  #double(): number {
    const high = this.word() & 0x1fffff;
    return (high * 2 ** 32 + this.word()) * DOUBLE_UNIT;
  }
}

/**
 * Sixteen uniforms to sixteen normals in place; rounds to f32 where torch's kernel holds an f32. The added zero is the
 * mean: it makes -0 a 0.
 */
function boxMullerFloat(data: Float32Array, offset: number): void {
  for (let j = offset; j < offset + 8; j++) {
    const radius = fround(sqrt(fround(-2 * fround(log(fround(1 - data[j]!))))));
    const theta = fround(TWO_PI * data[j + 8]!);
    data[j] = radius * fround(cos(theta)) + 0;
    data[j + 8] = radius * fround(sin(theta)) + 0;
  }
}

/** The same with every intermediate held in bfloat16, but for the product with 2π, which C++ promotes to double. */
function boxMullerBfloat16(data: Float32Array, offset: number): void {
  const round = roundToBfloat16;
  for (let j = offset; j < offset + 8; j++) {
    const radius = round(sqrt(round(-2 * round(log(round(1 - data[j]!))))));
    const theta = round(2 * PI * data[j + 8]!);
    data[j] = round(radius * round(cos(theta))) + 0;
    data[j + 8] = round(radius * round(sin(theta))) + 0;
  }
}
