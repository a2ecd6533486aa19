/**
 * Operators in f64, written for clarity: the reference for a device's results. Independent of ONNX Runtime, so that its
 * CPU kernels are tested too.
 */
export class Values {
  readonly shape: readonly number[];
  readonly data: Float64Array;
  readonly dtype: 'f32' | 'i64';

  constructor(shape: readonly number[], data: Float64Array, dtype: 'f32' | 'i64' = 'f32') {
    this.shape = shape;
    this.data = data;
    this.dtype = dtype;
  }

  static of(shape: readonly number[], value: (...index: number[]) => number): Values {
    const data = new Float64Array(shape.reduce((a, b) => a * b, 1));
    const index = shape.map(() => 0);
    for (let i = 0; i < data.length; i++) {
      data[i] = value(...index);
      for (let axis = index.length - 1; axis >= 0; axis--) {
        index[axis]! += 1;
        if (index[axis]! < shape[axis]!) break;
        index[axis] = 0;
      }
    }
    return new Values(shape, data);
  }

  at(...index: number[]): number {
    return this.data[index.reduce((offset, i, axis) => offset * this.shape[axis]! + i, 0)]!;
  }

  map(f: (value: number) => number): Values {
    return new Values(this.shape, this.data.map(f));
  }
}

/** A pattern without repetition, exact in f32, of about `amplitude`, around `offset`. */
export function pattern(shape: readonly number[], seed: number, amplitude = 1.5, offset = 0): Values {
  const length = shape.reduce((a, b) => a * b, 1);
  const value = (_: unknown, i: number) =>
    Math.fround(Math.sin(i * (1.3 + seed) + seed) * amplitude + offset);
  return new Values(shape, Float64Array.from({ length }, value));
}

export function integers(shape: readonly number[], value: (i: number) => number): Values {
  const length = shape.reduce((a, b) => a * b, 1);
  return new Values(
    shape,
    Float64Array.from({ length }, (_, i) => value(i)),
    'i64',
  );
}

/** [..., M, K]·[..., K, N]. */
export function product(a: Values, b: Values): Values {
  const [m, k, n] = [a.shape.at(-2)!, a.shape.at(-1)!, b.shape.at(-1)!];
  const out = new Float64Array((a.data.length / (m * k || 1) || 1) * m * n);
  for (let row = 0; row < out.length / n; row++) {
    const right = Math.floor(row / m) * k * n;
    for (let i = 0; i < k; i++) {
      const factor = a.data[row * k + i]!;
      for (let j = 0; j < n; j++) out[row * n + j]! += factor * b.data[right + i * n + j]!;
    }
  }
  return new Values([...a.shape.slice(0, -1), n], out);
}

export function transpose(x: Values, perm: readonly number[]): Values {
  const shape = perm.map((axis) => x.shape[axis]!);
  return Values.of(shape, (...index) => x.at(...x.shape.map((_, axis) => index[perm.indexOf(axis)]!)));
}

/** Applies `f` to every row of the last axis. */
function rows(x: Values, f: (row: Float64Array) => Float64Array): Values {
  const width = x.shape.at(-1)!;
  const out = new Float64Array(x.data.length);
  for (let at = 0; at < out.length; at += width) out.set(f(x.data.subarray(at, at + width)), at);
  return new Values(x.shape, out);
}

const sum = (values: Float64Array) => values.reduce((a, b) => a + b, 0);

export function softmax(x: Values): Values {
  return rows(x, (row) => {
    const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
    const powers = row.map((value) => Math.exp(value - top));
    const total = sum(powers);
    return powers.map((value) => value / total);
  });
}

export function layerNorm(x: Values, scale: Values, bias: Values, epsilon: number): Values {
  return rows(x, (row) => {
    const mean = sum(row) / row.length;
    const variance = sum(row.map((value) => (value - mean) ** 2)) / row.length;
    return row.map((value, i) => ((value - mean) / Math.sqrt(variance + epsilon)) * scale.at(i) + bias.at(i));
  });
}

export function rmsNorm(x: Values, scale: Values, epsilon: number): Values {
  return rows(x, (row) => {
    const square = sum(row.map((value) => value ** 2)) / row.length;
    return row.map((value, i) => (value / Math.sqrt(square + epsilon)) * scale.at(i));
  });
}

export function geluTanh(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

export function gelu(x: number): number {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

/** By its Taylor series, which f64 carries to 1e-8 as far as |x| = 4. */
function erf(x: number): number {
  let [term, total] = [x, x];
  for (let n = 1; n < 120; n++) {
    term *= (-x * x) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
}

/** x [1, C, H, W], w [O, C, k, k]; `before` rows and columns of zeros above and left, `after` below and right. */
export function conv(
  x: Values,
  w: Values,
  bias: Values,
  stride: number,
  before: number,
  after: number,
): Values {
  const [, channels, height, width] = x.shape as [number, number, number, number];
  const [outputs, , kernel] = w.shape as [number, number, number];
  const size = (length: number) => Math.floor((length + before + after - kernel) / stride) + 1;
  return Values.of([1, outputs, size(height), size(width)], (_, o, row, column) => {
    let total = bias.at(o!);
    for (let c = 0; c < channels; c++)
      for (let dy = 0; dy < kernel; dy++)
        for (let dx = 0; dx < kernel; dx++) {
          const [y, z] = [row! * stride + dy - before, column! * stride + dx - before];
          if (y >= 0 && y < height && z >= 0 && z < width) total += x.at(0, c, y, z) * w.at(o!, c, dy, dx);
        }
    return total;
  });
}

/** softmax(q·kᵀ·scale + bias)·v per head: q [1, S, H·D], k and v [1, T, H·D], bias [1, H or 1, S, T]. */
export function attention(
  [q, k, v]: [Values, Values, Values],
  heads: number,
  scale: number,
  bias?: Values,
): Values {
  const width = q.shape[2]! / heads;
  const split = (x: Values) =>
    Values.of([heads, x.shape[1]!, width], (h, s, d) => x.at(0, s!, h! * width + d!));
  const scores = product(split(q), transpose(split(k), [0, 2, 1]));
  const biased = Values.of(scores.shape, (h, s, t) => {
    const extra = bias ? bias.at(0, Math.min(h!, bias.shape[1]! - 1), s!, t!) : 0;
    return scores.at(h!, s!, t!) * scale + extra;
  });
  const out = product(softmax(biased), split(v));
  return Values.of(q.shape, (_, s, i) => out.at(Math.floor(i! / width), s!, i! % width));
}

/** Rotates the pairs (x[2j], x[2j+1]) of every head: x [1, S, H·D], cos and sin [S, D/2]. */
export function rotate(x: Values, cos: Values, sin: Values, heads: number): Values {
  const width = x.shape[2]! / heads;
  return Values.of(x.shape, (_, s, i) => {
    const j = (i! % width) >> 1;
    const other = x.at(0, s!, i! ^ 1);
    const turned = i! % 2 === 0 ? -other : other;
    return x.at(0, s!, i!) * cos.at(s!, j) + turned * sin.at(s!, j);
  });
}
