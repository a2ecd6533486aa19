/**
 * DoRA (Liu et al., arXiv 2402.09353): W' = m·(W + ΔW)/‖W + ΔW‖. The lengths are those of the rows (PEFT; one magnitude for
 * each output) or of the columns (LyCORIS with wd_on_output=False, OneTrainer; one for each input). With g = m/‖W + ΔW‖, rows
 * give g·W + g·ΔW, a factor for each output and a low-rank update whose B is multiplied with it, and columns give
 * W·g + ΔW·g, a factor for each input and an update whose A is multiplied with it. The lengths need every weight once;
 * ONNX Runtime multiplies them, at 2·r operations a weight.
 */
import type { WeightSource } from '../../weights/source.ts';
import { columnGains } from './column-gains.ts';
import type { Decomposed } from './decomposition.ts';
import type { Network } from './layers.ts';
import { rowGains } from './row-gains.ts';
import type { Matrix, Update } from './update.ts';

/** Replaces magnitudes by gains g, yielding the fraction done before each layer. */
export async function* measureGains(
  updates: readonly Update[],
  sources: Readonly<Record<Network, { source: WeightSource }>>,
  threads: number,
): AsyncGenerator<number, Update[]> {
  const bySlot = Map.groupBy(updates.filter(isDecomposed), ({ target }) => target.slot);
  const gains = new Map<Update, Float32Array>();
  let done = 0;
  for (const [slot, list] of bySlot) {
    yield done++ / bySlot.size;
    const { source } = sources[list[0]!.target.network];
    for (const [axis, measure] of [
      ['outputs', rowGains],
      ['inputs', columnGains],
    ] as const) {
      const chosen = list.filter(({ magnitude }) => magnitude.axis === axis);
      if (chosen.length === 0) continue;
      const found = await measure({ slot, updates: chosen, source, threads });
      for (const [update, values] of found) gains.set(update, values);
    }
  }
  return updates.map((update) => withGain(update, gains.get(update)));
}

function isDecomposed(update: Update): update is Decomposed {
  return update.magnitude !== undefined && update.product.kind === 'low-rank';
}

function withGain(update: Update, values: Float32Array | undefined): Update {
  const { product, magnitude } = update;
  if (!values || !magnitude || product.kind !== 'low-rank') return update;
  const gain = { axis: magnitude.axis, values };
  if (gain.axis === 'outputs') return { ...update, gain };
  return { ...update, gain, product: { ...product, down: timesColumns(product.down, values) } };
}

function timesColumns(matrix: Matrix, factors: Float32Array): Matrix {
  return { ...matrix, values: matrix.values.map((value, i) => value * factors[i % matrix.columns]!) };
}
