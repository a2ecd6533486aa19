import type { Var } from '../graph.ts';
import type { Values } from './reference.ts';

/**
 * The ability that fails with a case: the device as such, or one that the engine can do without. Fused attention is an
 * ability for each shape (attention-cases.ts).
 */
export type Need =
  | 'device'
  | 'rotary'
  | 'half'
  | 'widened'
  | 'int8'
  | 'blocks8'
  | 'blocks4'
  | 'expanded'
  | `attention ${string}`
  | `half attention ${string}`;

/** One question to a device. */
export type Case = {
  operator: string;
  need: Need;
  /** Largest relative L2 distance from the f64 answer. */
  tolerance: number;
  inputs: Values[];
  build: (...inputs: Var[]) => Var;
  expected: (...inputs: Values[]) => Values;
  /** The rows of the answer that `expected` computes, where it does not compute all. */
  rows?: readonly number[];
};

/** Sums of about a thousand products in f32 stay below 1e-6; a kernel that is wrong is off by 1e-3 and more. */
export const exact = 1e-5;
