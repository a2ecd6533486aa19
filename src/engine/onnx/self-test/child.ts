/**
 * The program of the process that process.ts forks: runs the cases with the given numbers on the device and reports
 * each before it runs, so that the parent knows the case that ended the process. Or it measures products.
 */
import { EngineError } from '../../errors.ts';
import type { DeviceName } from '../device.ts';
import type { AttentionShape } from './attention-cases.ts';
import { casesFor } from './cases.ts';
import { measureProducts, type ProductForm } from './products.ts';
import { askAll, type OperatorReport, open } from './run.ts';

export type FromChild =
  | { type: 'missing'; reason: string }
  | { type: 'asking'; index: number }
  | { type: 'answer'; line: OperatorReport }
  | { type: 'product'; form: ProductForm; milliseconds: number }
  | { type: 'done' };

const [device, threads, what, details] = process.argv.slice(2) as [DeviceName, string, string, string];
const send = (message: FromChild) =>
  new Promise<void>((resolve) => void process.send?.(message, undefined, undefined, () => resolve()));

process.once('disconnect', () => process.exit(0));

try {
  await open(device);
} catch (error) {
  // The runtime's own words: the graph that it was asked with is of no interest.
  const cause = error instanceof EngineError ? error.cause : error;
  await send({ type: 'missing', reason: cause instanceof Error ? cause.message : String(cause) });
  process.exit(0);
}
if (what === 'products') {
  const measuring = measureProducts(device, Number(threads), JSON.parse(details));
  for await (const product of measuring) await send({ type: 'product', ...product });
} else {
  const cases = casesFor(device, JSON.parse(details) as AttentionShape[]);
  const asked = what.split(',').map((index) => cases[Number(index)]!);
  for await (const step of askAll(asked, device, Number(threads))) {
    if ('asking' in step) await send({ type: 'asking', index: cases.indexOf(step.asking) });
    else await send({ type: 'answer', line: step.answer });
  }
}
await send({ type: 'done' });
// Exits without the runtime's clean-up, where a driver may crash: all results are sent already.
process.exit(0);
