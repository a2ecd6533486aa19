import type { PrecisionName } from '../weights/conversion/layers.ts';

/** Precisions with a product of their own on the CPU. */
export const measurable = ['f32', 'int8', 'int8-blocks', 'int4'] as const satisfies readonly PrecisionName[];
export type Measurable = (typeof measurable)[number];

/** A second's worth: operations, of passes bytes. */
export type Rates = {
  products: Partial<Record<Measurable, number>>;
  attention: number;
  convolutions: number;
  passes: number;
};
