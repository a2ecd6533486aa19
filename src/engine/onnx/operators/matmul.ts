/** Matrix products. */
import { dimsEqual } from '../dim.ts';
import { graphError, type Var } from '../graph.ts';
import { broadcast } from './elementwise.ts';

/** Batched a·b: [..., M, K] and [..., K, N] give [..., M, N]. */
export function matmul(a: Var, b: Var): Var {
  if (a.dtype !== b.dtype || a.rank < 2 || b.rank < 2 || !dimsEqual(a.dim(-1), b.dim(-2)))
    throw graphError(`matmul: ${a} and ${b} do not multiply`);
  const batch = broadcast('matmul', a.shape.slice(0, -2), b.shape.slice(0, -2));
  return a.graph.emit('MatMul', [a, b], [{ dtype: a.dtype, shape: [...batch, a.dim(-2), b.dim(-1)] }])[0]!;
}

/** a·wᵀ for a weight stored as torch.nn.Linear stores it: [M, K] and [N, K] give [M, N]. */
export function matmulTransposed(a: Var, w: Var): Var {
  if (a.dtype !== w.dtype || a.rank !== 2 || w.rank !== 2 || !dimsEqual(a.dim(1), w.dim(1)))
    throw graphError(`matmulTransposed: ${a} and ${w} do not multiply`);
  return a.graph.emit('Gemm', [a, w], [{ dtype: a.dtype, shape: [a.dim(0), w.dim(0)] }], { transB: 1 })[0]!;
}

/**
 * a·b for matrices [M, K] and [K, N] where K may turn out 0 when the graph runs, which makes zeros. ONNX Runtime's
 * MatMul ends the process with a segmentation fault for it on WebGPU; its Gemm is right on every device.
 */
export function matmulThin(a: Var, b: Var): Var {
  if (a.dtype !== b.dtype || a.rank !== 2 || b.rank !== 2 || !dimsEqual(a.dim(1), b.dim(0)))
    throw graphError(`matmulThin: ${a} and ${b} do not multiply`);
  return a.graph.emit('Gemm', [a, b], [{ dtype: a.dtype, shape: [a.dim(0), b.dim(1)] }])[0]!;
}
