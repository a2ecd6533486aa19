/**
 * The random stream of torch's CUDA generator, computed on the CPU: Philox4x32-10 (Salmon et al. 2011) with cuRAND's
 * normal transform, one counter for every element. It is the noise of tools that draw it on an NVIDIA GPU, so long as no
 * thread of theirs draws twice; for larger images their noise depends on the model of the GPU.
 */

const multipliers = [0xd2511f53, 0xcd9e8d57] as const;
const increments = [0x9e3779b9, 0xbb67ae85] as const;
const rounds = 10;

export class Philox {
  readonly #key: readonly [low: number, high: number];
  /** Calls of `randn` so far: each begins at counters of its own. */
  #offset = 0;

  /** 0 ≤ seed < 2^64 */
  constructor(seed: bigint) {
    this.#key = [Number(BigInt.asUintN(32, seed)), Number(BigInt.asUintN(32, seed >> 32n))];
  }

  /** `torch.randn(count, device='cuda')`, row-major for any shape. */
  randn(count: number): Float32Array {
    const offset = this.#offset++;
    return Float32Array.from({ length: count }, (_, index) => {
      const [x, y] = this.words(index, offset);
      const u = (x! + 0.5) * 2 ** -32;
      const v = (y! + 0.5) * 2 ** -32;
      return Math.sqrt(-2 * Math.log(u)) * Math.sin(2 * Math.PI * v);
    });
  }

  /** The four words of one counter. */
  words(index: number, offset = 0): [number, number, number, number] {
    let [a, b, c, d] = [offset >>> 0, 0, index >>> 0, Math.floor(index / 2 ** 32) >>> 0];
    let [k, l] = this.#key;
    for (let round = 0; round < rounds; round++) {
      const [highA, lowA] = multiply(a, multipliers[0]);
      const [highC, lowC] = multiply(c, multipliers[1]);
      [a, b, c, d] = [(highC ^ b ^ k) >>> 0, lowC, (highA ^ d ^ l) >>> 0, lowA];
      k = (k + increments[0]) >>> 0;
      l = (l + increments[1]) >>> 0;
    }
    return [a, b, c, d];
  }
}

/** The two halves of a 64-bit product. */
function multiply(a: number, b: number): [high: number, low: number] {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = aHigh * bLow + Math.floor((aLow * bLow) / 2 ** 16);
  const carry = (middle % 2 ** 16) + aLow * bHigh;
  const high = aHigh * bHigh + Math.floor(middle / 2 ** 16) + Math.floor(carry / 2 ** 16);
  return [high >>> 0, Math.imul(a, b) >>> 0];
}
