/** Updates as a file has them → per layer what its graph is fed at weight 1. */
import { RetouchError } from '../../../error.ts';
import type { LoraSlot } from '../../onnx/graph.ts';
import { type Network, networks, type Segment } from './layers.ts';
import type { LowRank, Matrix, Update } from './update.ts';

/** A [K, r] and B [r, N] with x·A·B to be added to the layer's output; the scale is inside B. */
export type PreparedLayer = { slot: LoraSlot; rank: number; a: Float32Array; b: Float32Array };

/** By network and layer. */
export type Prepared = Readonly<Record<Network, ReadonlyMap<string, PreparedLayer>>>;

/** What keeping it costs. */
export function preparedBytes(prepared: Prepared): number {
  const layers = networks.flatMap((network) => [...prepared[network].values()]);
  return layers.reduce((sum, { a, b }) => sum + a.byteLength + b.byteLength, 0);
}

export function prepare(updates: readonly Update[], path: string): Prepared {
  const of = (network: Network) => {
    const own = updates.filter(({ target }) => target.network === network);
    const bySlot = Map.groupBy(own, ({ target }) => target.slot);
    return new Map([...bySlot].map(([slot, list]) => [slot.name, prepareLayer(slot, list, path)]));
  };
  return { transformer: of('transformer'), clip: of('clip'), t5: of('t5') };
}

/** Several rows' updates of one layer side by side in one product: B has zeros where a piece's rows are not. */
function prepareLayer(slot: LoraSlot, updates: readonly Update[], path: string): PreparedLayer {
  const pieces = updates.map((update) => ({ ...update, product: lowRank(update, path) }));
  // Fused layers that were cut have the same A in every piece, and it is multiplied once.
  const groups: { down: Matrix; pieces: typeof pieces }[] = [];
  for (const piece of pieces) {
    const { down } = piece.product;
    const group = groups.find((other) => isSame(other.down, down));
    if (group) group.pieces.push(piece);
    else groups.push({ down, pieces: [piece] });
  }
  const rank = groups.reduce((sum, { down }) => sum + down.rows, 0);
  const { inputs, outputs } = slot;
  const a = new Float32Array(inputs * rank);
  const b = new Float32Array(rank * outputs);
  let at = 0;
  for (const { down, pieces } of groups) {
    for (let r = 0; r < down.rows; r++)
      for (let k = 0; k < inputs; k++) a[k * rank + at + r] = down.values[r * inputs + k]!;
    for (const { target, product, scale } of pieces)
      placeColumns(b, at, outputs, product.up, target.segments, scale);
    at += down.rows;
  }
  return { slot, rank, a, b };
}

/** upᵀ into rows `at`… of B, at the columns that the segments name. */
function placeColumns(
  b: Float32Array,
  at: number,
  outputs: number,
  up: Matrix,
  segments: readonly Segment[],
  scale: number,
): void {
  for (const { stored, at: first, count } of segments)
    for (let n = 0; n < count; n++)
      for (let r = 0; r < up.columns; r++)
        b[(at + r) * outputs + first + n]! += scale * up.values[(stored + n) * up.columns + r]!;
}

function lowRank({ product, magnitude, target }: Update, path: string): LowRank {
  if (product.kind === 'low-rank' && magnitude === undefined) return product;
  throw new RetouchError('loraRefused', `${path}: layer ${target.slot.name} has an update of another form`, {
    path,
  });
}

function isSame(a: Matrix, b: Matrix): boolean {
  return a.rows === b.rows && Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

function bytesOf({ values }: Matrix): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}
