/**
 * Writes a model of FLUX.1 Kontext [dev]'s size with random weights, streamed, with the names, shapes, types and
 * tokenizers of the published files. `--depth 1,2 --t5-layers 2` makes a shallow one of real width.
 *
 * `node bench/full-size.ts DIR --format fp8-scaled --t5 fp8`
 */
import { parseArgs } from 'node:util';
import { formats, real, t5Formats, writeFullSize } from './full-size/checkpoint.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    format: { type: 'string', default: 'fp8-scaled' },
    t5: { type: 'string', default: 'fp8' },
    depth: { type: 'string', default: `${real.depth.double},${real.depth.single}` },
    't5-layers': { type: 'string', default: String(real.t5Layers) },
  },
});
const [folder] = positionals;
if (folder === undefined || positionals.length > 1) fail(`found ${positionals.length} folders, expected one`);
const [double = Number.NaN, single = Number.NaN, ...rest] = values.depth.split(',').map(Number);
if (!(double >= 1 && single >= 0) || rest.length > 0)
  fail(`--depth is '${values.depth}', expected the double and the single blocks, such as 1,2`);
const t5Layers = Number(values['t5-layers']);
if (!(t5Layers >= 1)) fail(`--t5-layers is '${values['t5-layers']}', expected at least 1`);

const begin = performance.now();
writeFullSize(
  folder,
  {
    format: oneOf('--format', values.format, formats),
    t5: oneOf('--t5', values.t5, t5Formats),
    depth: { double, single },
    t5Layers,
  },
  (name) => console.log(`${((performance.now() - begin) / 1000).toFixed(1)} s: ${name}`),
);
const peak = Math.round(process.resourceUsage().maxRSS / 1024);
console.log(`${((performance.now() - begin) / 1000).toFixed(1)} s: done, ${peak} MiB of memory at most`);

function oneOf<T extends string>(flag: string, found: string, allowed: readonly T[]): T {
  const known = allowed.find((each) => each === found);
  return known ?? fail(`${flag} is '${found}', expected one of ${allowed.join(', ')}`);
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
