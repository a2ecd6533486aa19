/** The precisions that a model can be computed in on a GPU, and the one that `auto` takes. */
import { formatBytes } from '../../bytes.ts';
import type { Components } from '../../engine/networks/components.ts';
import { candidates, needOf } from '../../engine/networks/opened-model.ts';
import { ablePrecisions, choosePrecision, type PrecisionChoice } from '../../engine/networks/precision.ts';
import { type ProductTimes, productTimes } from '../../engine/networks/product-times.ts';
import type { SelfTest } from '../../engine/onnx/self-test.ts';
import type { PrecisionName } from '../../engine/weights/conversion/layers.ts';
import type { Finding } from './doctor-checks.ts';

export type PrecisionQuestion = {
  precision: PrecisionChoice;
  threads: number;
  memoryLimit: number;
  /** Where measured times are kept. */
  folder: string;
};

/**
 * @returns a line for each precision of a GPU; the CPU's choice is by width and has none
 * @throws RetouchError `precisionUnsupported`
 */
export async function precisionTable(
  components: Components,
  test: SelfTest,
  { precision, threads, memoryLimit, folder }: PrecisionQuestion,
): Promise<{ chosen: PrecisionName; table: Finding[] }> {
  const { device } = test;
  const times = device === 'cpu' ? {} : await productTimes(device, { threads, folder }, test);
  const among = candidates(components, test, { memoryLimit, times });
  const chosen = choosePrecision({ device, precision }, among, test);
  if (device === 'cpu') return { chosen, table: [] };
  const able = ablePrecisions(test);
  const row = (name: PrecisionName): Finding => {
    if (!able.includes(name))
      return { level: 'good', name: `  ${name}`, text: 'not computed here, or not rightly' };
    const need = formatBytes(needOf(components, test, name));
    const fits = among.fits(name) ? 'fits' : `does not fit in ${formatBytes(memoryLimit)}`;
    const parts = [errorText(name, test), timeText(name, times), `transformer needs ${need}, ${fits}`];
    return { level: 'good', name: `  ${name}`, text: parts.join('; ') + (name === chosen ? '; chosen' : '') };
  };
  return { chosen, table: (['f32', 'f16', 'int8-blocks', 'int4'] as const).map(row) };
}

/** The error of the arithmetic alone: rounding the weights comes on top, and is the same on every device. */
function errorText(name: PrecisionName, { report, half }: SelfTest): string {
  const needs: Partial<Record<PrecisionName, string>> = {
    f16: half ? 'half' : 'widened',
    'int8-blocks': 'blocks8',
    int4: 'blocks4',
  };
  const errors = report
    .filter(({ operator, need }) => (needs[name] ? need === needs[name] : operator === 'Gemm'))
    .map(({ error }) => error);
  return `products off by ${Math.max(...errors).toExponential(1)}`;
}

function timeText(name: PrecisionName, times: ProductTimes): string {
  const milliseconds = (times as Partial<Record<PrecisionName, number>>)[name];
  return milliseconds === undefined
    ? 'not measured'
    : `${Number(milliseconds.toPrecision(3))} ms for 1000 tokens of a layer`;
}
