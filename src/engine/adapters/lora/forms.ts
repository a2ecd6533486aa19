/** The parts of one layer's update → its product: LoRA, LoHa and LoKr. */
import type { RetouchError } from '../../../error.ts';
import { EngineError } from '../../errors.ts';
import { readFloats } from '../../weights/floats.ts';
import type { TensorEntry } from '../../weights/stored.ts';
import type { Part } from './parts.ts';
import type { Kronecker, LowRank, Matrix } from './update.ts';

export type Parts = Partial<Record<Part, TensorEntry>>;

/** The product, and the rank that divides alpha. */
export type Form = { product: LowRank | Kronecker; rank: number };

/** @throws RetouchError `loraInvalid` when a part is missing or is no matrix */
export function readForm(module: string, parts: Parts, path: string): Form {
  const incomplete = (missing: string): never => {
    const found = Object.values(parts).map(({ name }) => name);
    throw new EngineError(
      'loraInvalid',
      `${path}: layer ${module} has ${found.join(', ')} and no ${missing}`,
      {
        path,
        module,
      },
    );
  };
  const matrix = (part: Part): Matrix => readMatrix(parts[part] ?? incomplete(part), path);
  /** A factor, itself stored whole or as a product. */
  const factor = (form: 'lokr' | 'loha', name: 'w1' | 'w2'): { whole: Matrix; rank: number | undefined } => {
    if (parts[`${form}.${name}`]) return { whole: matrix(`${form}.${name}`), rank: undefined };
    const [a, b] = [matrix(`${form}.${name}.a`), matrix(`${form}.${name}.b`)];
    return { whole: multiply(a, b, module, path), rank: b.rows };
  };
  if (parts.down || parts.up) {
    const [down, up] = [matrix('down'), matrix('up')];
    if (up.columns !== down.rows) throw misfit(module, up, down, path);
    return { product: { kind: 'low-rank', down, up }, rank: down.rows };
  }
  if (has(parts, 'loha.')) {
    const [a, b] = (['w1', 'w2'] as const).map((name) => ({
      up: matrix(`loha.${name}.a`),
      down: matrix(`loha.${name}.b`),
    })) as [Pair, Pair];
    return { product: hadamard(a, b, module, path), rank: a.down.rows };
  }
  if (has(parts, 'lokr.')) {
    const [left, right] = [factor('lokr', 'w1'), factor('lokr', 'w2')];
    const product = { kind: 'kronecker', left: left.whole, right: right.whole } as const;
    // LyCORIS uses the rank of the decomposed factor; with two full factors it ignores alpha.
    const rank = right.rank ?? left.rank;
    return { product, rank: rank ?? Number.NaN };
  }
  return incomplete('down and up');
}

type Pair = { up: Matrix; down: Matrix };

function has(parts: Parts, prefix: string): boolean {
  return Object.keys(parts).some((part) => part.startsWith(prefix));
}

function readMatrix(entry: TensorEntry, path: string): Matrix {
  // Convolutions of one pixel, which some trainers store layers as, are matrices.
  const [rows = 0, columns = 0, ...rest] = entry.shape;
  if (entry.shape.length >= 2 && rest.every((size) => size === 1))
    return { rows, columns, values: finite(entry, readFloats(entry), path) };
  throw new EngineError(
    'loraInvalid',
    `${path}: ${entry.name} has shape [${entry.shape}], expected a matrix`,
    {
      path,
      tensor: entry.name,
    },
  );
}

/** @throws RetouchError `loraInvalid` for a training that failed: its numbers would make every image black */
export function finite(entry: TensorEntry, values: Float32Array, path: string): Float32Array {
  const odd = values.findIndex((value) => !Number.isFinite(value));
  if (odd < 0) return values;
  throw new EngineError(
    'loraInvalid',
    `${path}: element ${odd} of ${entry.name} is ${values[odd]}, expected finite numbers; its training failed or the file is damaged`,
    { path, tensor: entry.name },
  );
}

function misfit(module: string, a: Matrix, b: Matrix, path: string): RetouchError {
  return new EngineError(
    'loraInvalid',
    `${path}: the matrices of layer ${module} do not multiply: [${a.rows}, ${a.columns}] and [${b.rows}, ${b.columns}]`,
    { path, module },
  );
}

function multiply(a: Matrix, b: Matrix, module: string, path: string): Matrix {
  if (a.columns !== b.rows) throw misfit(module, a, b, path);
  const values = new Float32Array(a.rows * b.columns);
  const row = new Float64Array(b.columns);
  for (let i = 0; i < a.rows; i++) {
    row.fill(0);
    for (let k = 0; k < a.columns; k++) {
      const factor = a.values[i * a.columns + k]!;
      for (let j = 0; j < b.columns; j++) row[j]! += factor * b.values[k * b.columns + j]!;
    }
    values.set(row, i * b.columns);
  }
  return { rows: a.rows, columns: b.columns, values };
}

/**
 * (up₁·down₁) ⊙ (up₂·down₂), Hyeon-Woo et al., arXiv 2108.06098: its entries are Σᵢ Σⱼ of products of the four, so it is
 * a product of rank r₁·r₂, exactly, of the columns of up₁ times those of up₂ and the rows of down₁ times those of down₂.
 */
function hadamard(first: Pair, second: Pair, module: string, path: string): LowRank {
  for (const { up, down } of [first, second])
    if (up.columns !== down.rows) throw misfit(module, up, down, path);
  if (first.up.rows !== second.up.rows) throw misfit(module, first.up, second.up, path);
  if (first.down.columns !== second.down.columns) throw misfit(module, first.down, second.down, path);
  const [n, k] = [first.up.rows, first.down.columns];
  const [r1, r2] = [first.down.rows, second.down.rows];
  const rank = r1 * r2;
  const up = new Float32Array(n * rank);
  const down = new Float32Array(rank * k);
  for (let i = 0; i < r1; i++)
    for (let j = 0; j < r2; j++) {
      const r = i * r2 + j;
      for (let row = 0; row < n; row++)
        up[row * rank + r] = first.up.values[row * r1 + i]! * second.up.values[row * r2 + j]!;
      for (let column = 0; column < k; column++)
        down[r * k + column] = first.down.values[i * k + column]! * second.down.values[j * k + column]!;
    }
  return {
    kind: 'low-rank',
    down: { rows: rank, columns: k, values: down },
    up: { rows: n, columns: rank, values: up },
  };
}
