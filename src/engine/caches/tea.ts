/**
 * TeaCache: the time-modulated input of the first block predicts the change of the output; steps are reused until the
 * accumulated change reaches the threshold. Liu et al. 2024 (arXiv 2411.19108); ali-vilab/TeaCache `TeaCache4FLUX`,
 * with FLUX.1 Kontext's polynomial of welltop-cn/ComfyUI-TeaCache.
 */
import type { StepCache } from './types.ts';

/** Highest power first: from the change of the input to that of the output, fitted on Kontext. */
const polynomial = [-1046.55119, 312.563399, -16.9500694, 0.410995971, 0.0374537863];

/** Beyond it the polynomial falls, and soon below zero, because its data had no such changes. */
const fitted = 0.24;

/** The predicted change of the output for a change of the input. */
export function outputChange(distance: number): number {
  if (!(distance <= fitted)) return Number.POSITIVE_INFINITY;
  return Math.abs(polynomial.reduce((sum, coefficient) => sum * distance + coefficient, 0));
}

export const tea: StepCache = {
  title: 'TeaCache',
  after: 'nothing',
  against: 'last',
  decider: (threshold) => {
    let change = 0;
    return {
      allows: (distance) => {
        change += outputChange(distance);
        return change < threshold;
      },
      computed: () => {
        change = 0;
      },
    };
  },
};
