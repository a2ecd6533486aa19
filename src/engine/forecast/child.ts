/** The program of a process that measures and ends: `child.ts THREADS PRECISION,…`. */
import { measureRates } from './measure.ts';
import type { Measurable } from './rates.ts';

const [threads, precisions] = process.argv.slice(2) as [string, string];
const rates = await measureRates(precisions.split(',') as Measurable[], Number(threads));
process.send?.(rates, () => process.disconnect());
