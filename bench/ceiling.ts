/** The fastest this machine multiplies matrices of the network's widths: the floor under every block's time. */
import { productProbe, rateOf } from '../src/engine/forecast/measure.ts';
import type { Measurable } from '../src/engine/forecast/rates.ts';
import type { Options } from './measure.ts';

/** GFLOP/s (for int8: 10⁹ integer operations a second) of [tokens, 3072]·[3072, 12288], which stays inside the graph. */
export async function productCeiling(
  product: Measurable,
  tokens: number,
  { threads, runs }: Options,
): Promise<number> {
  const probe = productProbe(product, { rows: tokens, inputs: 3072, outputs: 12288 });
  return (await rateOf(probe, { threads, count: runs })) / 1e9;
}
