/**
 * Sizes of axes: a number, or an affine expression over named unknowns (`img + txt`, `8·h`), so that one graph
 * serves every resolution and a wrong shape is still found when the graph is built.
 */
export type Dim = number | Affine;
export type Shape = readonly Dim[];

class Affine {
  readonly constant: number;
  readonly terms: ReadonlyMap<string, number>;

  constructor(constant: number, terms: ReadonlyMap<string, number>) {
    this.constant = constant;
    this.terms = terms;
  }

  toString(): string {
    const parts = [...this.terms].sort().map(([name, k]) => (k === 1 ? name : `${k}*${name}`));
    if (this.constant !== 0) parts.push(String(this.constant));
    return parts.join('+');
  }
}

/** A named unknown size. */
export function symbol(name: string): Dim {
  return new Affine(0, new Map([[name, 1]]));
}

function affine(dim: Dim): Affine {
  return typeof dim === 'number' ? new Affine(dim, new Map()) : dim;
}

function simplify(constant: number, terms: Map<string, number>): Dim {
  for (const [name, k] of terms) if (k === 0) terms.delete(name);
  return terms.size === 0 ? constant : new Affine(constant, terms);
}

export function addDims(...dims: Dim[]): Dim {
  const terms = new Map<string, number>();
  let constant = 0;
  for (const dim of dims.map(affine)) {
    constant += dim.constant;
    for (const [name, k] of dim.terms) terms.set(name, (terms.get(name) ?? 0) + k);
  }
  return simplify(constant, terms);
}

export function scaleDim(dim: Dim, factor: number): Dim {
  const { constant, terms } = affine(dim);
  return simplify(constant * factor, new Map([...terms].map(([name, k]) => [name, k * factor])));
}

/** Exact division; undefined when the divisor does not divide every coefficient. */
export function divideDim(dim: Dim, divisor: number): Dim | undefined {
  const { constant, terms } = affine(dim);
  if (constant % divisor !== 0 || [...terms.values()].some((k) => k % divisor !== 0)) return undefined;
  return simplify(constant / divisor, new Map([...terms].map(([name, k]) => [name, k / divisor])));
}

/** floor((dim + offset) / divisor) for the strides of convolutions: the unknowns must divide, the constant may not. */
export function floorDivideDim(dim: Dim, divisor: number): Dim | undefined {
  const { constant, terms } = affine(dim);
  const floor = Math.floor(constant / divisor);
  return divideDim(new Affine(floor * divisor, terms), divisor);
}

export function dimsEqual(a: Dim, b: Dim): boolean {
  return String(a) === String(b);
}

/** The product of axes of which at most one is unknown. */
export function sizeOf(shape: Shape): Dim | undefined {
  let known = 1;
  let unknown: Dim | undefined;
  for (const dim of shape) {
    if (typeof dim === 'number') known *= dim;
    else if (unknown === undefined) unknown = dim;
    else return undefined;
  }
  return unknown === undefined ? known : scaleDim(unknown, known);
}

export function shapeText(shape: Shape): string {
  return `[${shape.map(String).join(', ')}]`;
}

/** The product of axes; several unknowns multiply to a new unknown named after them. */
export function productDim(dims: readonly Dim[]): Dim {
  const known = sizeOf(dims);
  if (known !== undefined) return known;
  const numbers = dims.filter((dim) => typeof dim === 'number').reduce((a, b) => a * b, 1);
  const unknowns = dims.filter((dim) => typeof dim !== 'number').map((dim) => `(${dim})`);
  return scaleDim(symbol(unknowns.sort().join('*')), numbers);
}
