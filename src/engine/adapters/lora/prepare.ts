/** Updates as a file has them → per layer what its graph is fed at weight 1. */
import { RetouchError } from '../../../error.ts';
import type { LoraSlot } from '../../onnx/graph.ts';
import type { KroneckerForm, RowSegment, UpdateForm } from '../../weights/weights.ts';
import { type Network, networks } from './layers.ts';
import type { Kronecker, LowRank, Matrix, Update } from './update.ts';

/** A [K, r] and B [r, N] with x·A·B to be added to the layer's output; the scale is inside B. */
export type PreparedLayer = {
  slot: LoraSlot;
  rank: number;
  a: Float32Array;
  b: Float32Array;
  /** DoRA: what the layer's own product is multiplied with, less 1 [N]. */
  gain: Float32Array | undefined;
  /** LoKr: left [a, b] with the scale inside, and right transposed, [d, c]. */
  kroneckers: { form: KroneckerForm; left: Float32Array; right: Float32Array }[];
};

/** By network and layer. */
export type Prepared = Readonly<Record<Network, ReadonlyMap<string, PreparedLayer>>>;

/** What keeping it costs. */
export function preparedBytes(prepared: Prepared): number {
  const layers = networks.flatMap((network) => [...prepared[network].values()]);
  const arrays = layers.flatMap(({ a, b, gain, kroneckers }) => [
    a,
    b,
    ...(gain ? [gain] : []),
    ...kroneckers.flatMap(({ left, right }) => [left, right]),
  ]);
  return arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** What a layer has to be compiled for; undefined is nothing but a low-rank update. */
export function formOf({ gain, kroneckers }: PreparedLayer): UpdateForm | undefined {
  if (!gain && kroneckers.length === 0) return undefined;
  return { scaled: gain !== undefined, kroneckers: kroneckers.map(({ form }) => form) };
}

export function prepare(updates: readonly Update[], path: string): Prepared {
  const of = (network: Network) => {
    const own = updates.filter(({ target }) => target.network === network);
    const bySlot = Map.groupBy(own, ({ target }) => target.slot);
    return new Map([...bySlot].map(([slot, list]) => [slot.name, prepareLayer(slot, list, path)]));
  };
  return { transformer: of('transformer'), clip: of('clip'), t5: of('t5') };
}

type LowRankUpdate = Update & { product: LowRank };
type KroneckerUpdate = Update & { product: Kronecker };

/** Several rows' updates of one layer side by side in one product: B has zeros where a piece's rows are not. */
function prepareLayer(slot: LoraSlot, updates: readonly Update[], path: string): PreparedLayer {
  const pieces = updates.filter((update): update is LowRankUpdate => update.product.kind === 'low-rank');
  // Fused layers that were cut may have the same A in every piece, which then is multiplied once.
  const groups: { down: Matrix; pieces: LowRankUpdate[] }[] = [];
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
    for (const piece of pieces) placeColumns(b, at, outputs, piece);
    at += down.rows;
  }
  const kroneckers = updates
    .filter((update): update is KroneckerUpdate => update.product.kind === 'kronecker')
    .map((update) => prepareKronecker(update, path));
  return { slot, rank, a, b, gain: gainOf(slot, updates), kroneckers };
}

/** upᵀ into rows `at`… of B, at the columns that the segments name. */
function placeColumns(b: Float32Array, at: number, outputs: number, update: LowRankUpdate): void {
  const { target, product, scale, gain } = update;
  const { values, columns } = product.up;
  for (const { stored, at: first, count } of target.segments)
    for (let n = stored; n < stored + count; n++) {
      const factor = scale * (gain?.[n] ?? 1);
      const column = first + n - stored;
      for (let r = 0; r < columns; r++) b[(at + r) * outputs + column]! += factor * values[n * columns + r]!;
    }
}

function gainOf({ outputs }: LoraSlot, updates: readonly Update[]): Float32Array | undefined {
  if (!updates.some(({ gain }) => gain)) return undefined;
  const all = new Float32Array(outputs);
  for (const { target, gain } of updates)
    for (const { stored, at, count } of gain ? target.segments : [])
      for (let n = 0; n < count; n++) all[at + n] = gain![stored + n]! - 1;
  return all;
}

function prepareKronecker({ target, product, scale, magnitude }: KroneckerUpdate, path: string) {
  if (magnitude)
    throw new RetouchError(
      'loraRefused',
      `${path}: ${target.slot.name} has LoKr factors and magnitudes (DoRA) together`,
      {
        path,
      },
    );
  const { left, right } = product;
  const form: KroneckerForm = {
    a: left.rows,
    b: left.columns,
    c: right.rows,
    d: right.columns,
    segments: target.segments.toSorted((one: RowSegment, other: RowSegment) => one.stored - other.stored),
  };
  return { form, left: left.values.map((value) => scale * value), right: transpose(right) };
}

function transpose({ rows, columns, values }: Matrix): Float32Array {
  const out = new Float32Array(values.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) out[j * rows + i] = values[i * columns + j]!;
  return out;
}

function isSame(a: Matrix, b: Matrix): boolean {
  return a.rows === b.rows && Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

function bytesOf({ values }: Matrix): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}
