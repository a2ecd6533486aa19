/**
 * The inputs of a linear layer for LoRAs: their names, their feeds, and their idle values. linear.ts has the arithmetic.
 */
import { f32Tensor, type Tensor, tensor } from '../onnx/tensor.ts';

/** Names of the inputs of the layer at a path. Parts of the outputs and Kronecker products are counted from 0. */
export const loraInput = {
  /** A [K, R] of all parts. */
  a: (layer: string) => `${layer}.lora_a`,
  /** B [r, N] of a part. */
  b: (layer: string, part: number) => `${layer}.lora_b_${part}`,
  /** First row and column of the block of x·A that the part's B multiplies, and the row and column after its last. */
  from: (layer: string, part: number) => `${layer}.lora_from_${part}`,
  to: (layer: string, part: number) => `${layer}.lora_to_${part}`,
  /** DoRA: a factor for each output, [1, N]. */
  scale: (layer: string) => `${layer}.scale`,
  /** DoRA by inputs: a factor for each input, [1, K], of a range of the outputs. */
  inputScale: (layer: string, index: number) => `${layer}.input_scale_${index}`,
  /** LoKr: left [a, b] and right, transposed, [d, c]. */
  left: (layer: string, index: number) => `${layer}.kronecker_${index}_left`,
  right: (layer: string, index: number) => `${layer}.kronecker_${index}_right`,
} as const;

/** All rows: the end of a slice may lie beyond the rows there are. */
const allRows = 1n << 40n;

const corner = (row: bigint, column: number) => tensor('i64', BigInt64Array.of(row, BigInt(column)), [2]);

/** A of a layer without an update, of rank 0. */
export const idleA = (inputs: number): Tensor => f32Tensor(new Float32Array(0), [inputs, 0]);

/** B of a part without an update. */
export const idleB = (outputs: number): Tensor => f32Tensor(new Float32Array(0), [0, outputs]);

export const idleFrom: Tensor = corner(0n, 0);

/** One row of x·A is multiplied, which yields the layer's bias from B's last row; see linear.ts. */
export const idleTo: Tensor = corner(1n, 0);

/** The update of a part of a layer: `b` [r, N] multiplies the columns of x·A from `column` on. */
export function partFeed(
  layer: string,
  part: number,
  update: { column: number; b: Tensor },
): Record<string, Tensor> {
  const { column, b } = update;
  const rank = b.dims[0]!;
  return {
    // The first part's columns are the first: its graph has no input for it.
    ...(part === 0 ? {} : { [loraInput.from(layer, part)]: corner(0n, column) }),
    [loraInput.to(layer, part)]: corner(allRows, column + rank),
    [loraInput.b(layer, part)]: b,
  };
}
