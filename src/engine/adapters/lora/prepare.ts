/** Converts the updates of a file to the feeds of each layer's graph at weight 1. */
import type { LinearLayer } from '../../onnx/graph.ts';
import type { KroneckerForm, RowSegment, UpdateForm } from '../../weights/weights.ts';
import { type Network, networks } from './layers.ts';
import type { Kronecker, LowRank, Matrix, Update } from './update.ts';

/** A [K, r] and B [r, N] with x·A·B to be added to a part of the layer's output; the scale is inside B. */
export type PreparedPart = { a: LowRankInput; b: Float32Array };

/** Matrix A; parts with the same A share the object. */
export type LowRankInput = { rank: number; values: Float32Array };

export type PreparedLayer = {
  slot: LinearLayer;
  /** One for each part of the layer; a part without an update has rank 0. */
  parts: readonly PreparedPart[];
  /** DoRA: the factor of the layer's own product, less 1 [N]. */
  gain: Float32Array | undefined;
  /** DoRA by inputs: the factor of each input, less 1 [K], for the products of some of the layer's rows. */
  inputGains: { segments: readonly RowSegment[]; values: Float32Array }[];
  /** LoKr: left [a, b] with the scale inside, and right transposed, [d, c]. */
  kroneckers: { form: KroneckerForm; left: Float32Array; right: Float32Array }[];
};

/** By network and layer. */
export type Prepared = Readonly<Record<Network, ReadonlyMap<string, PreparedLayer>>>;

/** Arrays held in memory. */
export function preparedArrays(prepared: Prepared): Float32Array[] {
  const layers = networks.flatMap((network) => [...prepared[network].values()]);
  return layers.flatMap(({ parts, gain, inputGains, kroneckers }) => [
    ...parts.flatMap(({ a, b }) => [a.values, b]),
    ...(gain ? [gain] : []),
    ...inputGains.map(({ values }) => values),
    ...kroneckers.flatMap(({ left, right }) => [left, right]),
  ]);
}

export function bytesOf(arrays: ReadonlySet<Float32Array>): number {
  return [...arrays].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** The form that a layer must be compiled for to support all of these; undefined if they are only low-rank products. */
export function formOf(layers: readonly PreparedLayer[]): UpdateForm | undefined {
  const kroneckers = layers.flatMap((layer) => layer.kroneckers.map(({ form }) => form));
  const scaled = layers.some(({ gain }) => gain !== undefined);
  const ranges = rangesOf(layers);
  return scaled || ranges.length > 0 || kroneckers.length > 0 ? { scaled, ranges, kroneckers } : undefined;
}

/** Sizes of the ranges of outputs into which segments with input gains split a layer. */
export function rangesOf(layers: readonly PreparedLayer[]): number[] {
  const segments = layers.flatMap(({ inputGains }) => inputGains.flatMap((gains) => gains.segments));
  if (segments.length === 0) return [];
  const ends = segments.flatMap(({ at, count }) => [at, at + count]);
  const cuts = [...new Set([0, ...ends, layers[0]!.slot.outputs])].sort((a, b) => a - b);
  return cuts.slice(1).map((cut, i) => cut - cuts[i]!);
}

export function prepare(updates: readonly Update[]): Prepared {
  const of = (network: Network) => {
    const own = updates.filter(({ target }) => target.network === network);
    const bySlot = Map.groupBy(own, ({ target }) => target.slot);
    return new Map([...bySlot].map(([slot, list]) => [slot.name, prepareLayer(slot, list)]));
  };
  return { transformer: of('transformer'), clip: of('clip'), t5: of('t5') };
}

type LowRankUpdate = Update & { product: LowRank };
type KroneckerUpdate = Update & { product: Kronecker };

function prepareLayer(slot: LinearLayer, updates: readonly Update[]): PreparedLayer {
  const pieces = updates.filter((update): update is LowRankUpdate => update.product.kind === 'low-rank');
  const parts = prepareParts(slot, groupsOf(pieces));
  const kroneckers = updates
    .filter((update): update is KroneckerUpdate => update.product.kind === 'kronecker')
    .map(prepareKronecker);
  return { slot, parts, gain: outputGain(slot, updates), inputGains: inputGainsOf(updates), kroneckers };
}

/** Updates with the same A. */
type Group = { down: Matrix; pieces: LowRankUpdate[] };

/** Fused layers that were cut may have the same A in every piece. */
function groupsOf(pieces: readonly LowRankUpdate[]): Group[] {
  const groups: Group[] = [];
  for (const piece of pieces) {
    const { down } = piece.product;
    const group = groups.find((other) => isSame(other.down, down));
    if (group) group.pieces.push(piece);
    else groups.push({ down, pieces: [piece] });
  }
  return groups;
}

/** Merges the updates of a part into one: B is zero in the rows that an update does not touch. */
function prepareParts({ inputs, parts }: LinearLayer, groups: readonly Group[]): PreparedPart[] {
  const shared = new Map<string, LowRankInput>();
  let first = 0;
  return parts.map((size) => {
    const part = { first, size };
    first += size;
    const own = groups.filter(({ pieces }) => pieces.some((piece) => reaches(piece, part)));
    const key = own.map((group) => groups.indexOf(group)).join();
    const a = shared.get(key) ?? joinInputs(own, inputs);
    shared.set(key, a);
    const b = new Float32Array(a.rank * size);
    let at = 0;
    for (const { down, pieces } of own) {
      for (const piece of pieces) placeColumns(b, at, part, piece);
      at += down.rows;
    }
    return { a, b };
  });
}

type OutputRange = { first: number; size: number };

function reaches({ target }: LowRankUpdate, { first, size }: OutputRange): boolean {
  return target.segments.some(({ at, count }) => at < first + size && first < at + count);
}

/** Every down transposed, side by side: [K, r]. */
function joinInputs(groups: readonly Group[], inputs: number): LowRankInput {
  const rank = groups.reduce((sum, { down }) => sum + down.rows, 0);
  const values = new Float32Array(inputs * rank);
  let at = 0;
  for (const { down } of groups) {
    for (let r = 0; r < down.rows; r++)
      for (let k = 0; k < inputs; k++) values[k * rank + at + r] = down.values[r * inputs + k]!;
    at += down.rows;
  }
  return { rank, values };
}

/** upᵀ into rows `row`… of a part's B, at those columns of the part that the segments name. */
function placeColumns(
  b: Float32Array,
  row: number,
  { first, size }: OutputRange,
  { target, product, scale, gain }: LowRankUpdate,
): void {
  const { values, columns } = product.up;
  for (const { stored, at, count } of target.segments) {
    const shift = stored - at;
    for (let n = Math.max(at, first); n < Math.min(at + count, first + size); n++) {
      const factor = gain?.axis === 'outputs' ? scale * gain.values[n + shift]! : scale;
      for (let r = 0; r < columns; r++)
        b[(row + r) * size + n - first]! += factor * values[(n + shift) * columns + r]!;
    }
  }
}

function outputGain({ outputs }: LinearLayer, updates: readonly Update[]): Float32Array | undefined {
  if (!updates.some(({ gain }) => gain?.axis === 'outputs')) return undefined;
  const all = new Float32Array(outputs);
  for (const { target, gain } of updates)
    for (const { stored, at, count } of gain?.axis === 'outputs' ? target.segments : [])
      for (let n = 0; n < count; n++) all[at + n] = gain!.values[stored + n]! - 1;
  return all;
}

function inputGainsOf(updates: readonly Update[]): PreparedLayer['inputGains'] {
  return updates.flatMap(({ target: { segments }, gain }) =>
    gain?.axis === 'inputs' ? [{ segments, values: gain.values.map((value) => value - 1) }] : [],
  );
}

function prepareKronecker({ target, product, scale }: KroneckerUpdate) {
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
  return a.rows === b.rows && Buffer.compare(viewOf(a), viewOf(b)) === 0;
}

function viewOf({ values }: Matrix): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}
