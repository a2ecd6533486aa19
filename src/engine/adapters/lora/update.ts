/** The common form of every family's LoRA: for each linear layer, the update that is added to W [N, K]. */
import type { Target } from './layers.ts';

/** Row-major, as stored. */
export type Matrix = { rows: number; columns: number; values: Float32Array };

/** up·down: down [r, K], up [n, r], n being the rows that the target's segments cut out. */
export type LowRank = { kind: 'low-rank'; down: Matrix; up: Matrix };

/** left ⊗ right: [a, b] and [c, d] with a·c = n and b·d = K. */
export type Kronecker = { kind: 'kronecker'; left: Matrix; right: Matrix };

export type Update = {
  target: Target;
  product: LowRank | Kronecker;
  /** Factor of the product, in addition to the request's weight. */
  scale: number;
  /** DoRA's magnitudes: the lengths of the rows or columns of the layer's weight after the update. */
  magnitude: AxisValues | undefined;
  /** magnitude/‖W + ΔW‖ (gains.ts). */
  gain?: AxisValues | undefined;
};

/** One number for each output of a layer [n] (each row of its weight), or for each input [K] (each column). */
export type AxisValues = { axis: 'outputs' | 'inputs'; values: Float32Array };
