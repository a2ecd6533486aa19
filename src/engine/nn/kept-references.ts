/**
 * Keys and values of reference tokens that a block keeps from an earlier step. References are clean and only their
 * modulation moves with the noise level, so a step may take those of an earlier one and run without the references' rows.
 */
import { symbol } from '../onnx/dim.ts';
import type { Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import { tensor } from '../onnx/tensor.ts';
import type { Weights } from '../weights/weights.ts';

/** Names of inputs and outputs: `from` is one for all blocks, the others are those of the block at a path. */
export const referenceName = {
  from: 'references.from',
  kept: (block: string, name: 'k' | 'v') => `${block}.references.${name}`,
  now: (block: string, name: 'k' | 'v') => `${block}.references.${name}.now`,
  /** The input that takes what this output gave; undefined for other outputs. */
  keptOf: (output: string) => /^(.*\.references\.[kv])\.now$/.exec(output)?.[1],
} as const;

const [kept, now] = [symbol('references_kept'), symbol('references_now')];

/** A row past the end of every matrix: no row is a reference's. */
const noRow = tensor('i64', BigInt64Array.of(2n ** 31n), [1]);

/**
 * The keys and values of a block, k and v [S, D], with the kept ones [R, D] after them, and the block's own of the rows
 * from `from` on as outputs to be kept. They are kept in f16: half of the memory, and what they lose is far below what
 * they change from step to step. Idle, nothing is kept and no bit changes.
 */
export function withKeptReferences(k: Var, v: Var, w: Weights): [Var, Var] {
  if (!w.compute.keepsReferences) return [k, v];
  const { graph } = w;
  const from =
    graph.inputs.find(({ name }) => name === referenceName.from) ??
    graph.input(referenceName.from, 'i64', [1], noRow);
  const width = k.dim(-1) as number;
  const join = (name: 'k' | 'v', given: Var) => {
    // The fused rotation gives batches of one.
    const x = given.rank === 3 ? op.squeeze(given, 0) : given;
    const own = op.cast(op.rowsFrom(x, from, now), 'f16');
    graph.output(referenceName.now(w.path, name), own);
    const idle = tensor('f16', new Uint16Array(0), [0, width]);
    const earlier = graph.input(referenceName.kept(w.path, name), 'f16', [kept, width], idle);
    // ONNX Runtime computes an output that nothing depends on after all blocks, and holds every block's x until then. So
    // the block depends on it, by none of its rows.
    const none = op.sliceAxis(own, 0, 0, 0);
    return op.concat([x, op.cast(op.concat([earlier, none], 0), 'f32')], 0);
  };
  return [join('k', k), join('v', v)];
}
