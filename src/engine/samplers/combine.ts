/** Linear combinations of samples: f32 in and out, summed in f64. */
export type Term = readonly [weight: number, values: Float32Array];

export function combine(...terms: readonly Term[]): Float32Array {
  const sum = new Float32Array(terms[0]![1].length);
  for (let i = 0; i < sum.length; i++) {
    let value = 0;
    for (const [weight, values] of terms) value += weight * values[i]!;
    sum[i] = value;
  }
  return sum;
}
