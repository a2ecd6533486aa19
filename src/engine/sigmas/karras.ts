/** Even steps of σ^(1/7): Karras et al. 2022 (arXiv 2206.00364), equation 5. */
import type { Curve } from './types.ts';

const rho = 7;

export const karras: Curve = (r, max, min) => {
  const [first, last] = [max ** (1 / rho), min ** (1 / rho)];
  return (first + r * (last - first)) ** rho;
};
