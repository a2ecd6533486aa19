/** The command line of `npm run bench`. */
import fs from 'node:fs';
import os from 'node:os';
import { parseArgs } from 'node:util';
import type { DeviceName, PrecisionName } from '../src/engine/plan.ts';
import { block, blockPrecisions, blockTokens } from './block.ts';
import { cacheParts, caches } from './caches.ts';
import { device, devicePrecisions, deviceTokens } from './device.ts';
import { edit } from './edit.ts';
import { fleet, fleetParts } from './fleet.ts';
import { full, fullImages } from './full.ts';
import { http } from './http.ts';
import { layerSides, layers } from './layers.ts';
import { lora } from './lora.ts';
import { machine, type Options, type Report, type Row, table } from './measure.ts';
import { memory } from './memory.ts';
import { readPeer } from './peers.ts';

const benchmarks: Record<string, (options: Options) => Promise<Row[]>> = {
  block,
  layers,
  lora,
  edit,
  fleet,
  http,
  memory,
  caches,
  full,
  device,
};

const usage = `npm run bench -- NAME [--threads N] [--runs N] [--json FILE] [--peer NAME=COMMAND]…
npm run bench -- block [--tokens ${blockTokens.join(',')}] [--precision ${blockPrecisions.join(',')}]
npm run bench -- layers [--side ${layerSides.join(',')}] [--precision ${blockPrecisions.join(',')}]
npm run bench -- device [--device webgpu] [--minutes 4] [--tokens ${deviceTokens.join(',')}] [--precision ${devicePrecisions.join(',')}]
  parts that would pass the minutes are left out, and say how long they would take
npm run bench -- caches [${cacheParts.join('] [')}]
npm run bench -- fleet [${fleetParts.join('] [')}]
npm run bench -- full DIR [--precision int8] [--side 1024] [--steps 2] [--memory-limit GIB] [--converted]
  [--image '${fullImages.join("'|'")}']… [--reference-interval K] [--pictures DIR]
NAME is one of: ${Object.keys(benchmarks).join(', ')}`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: 'boolean', short: 'h' },
    threads: { type: 'string' },
    runs: { type: 'string' },
    json: { type: 'string' },
    device: { type: 'string', default: 'webgpu' },
    minutes: { type: 'string', default: '4' },
    tokens: { type: 'string' },
    peer: { type: 'string', multiple: true },
    precision: { type: 'string' },
    side: { type: 'string' },
    steps: { type: 'string', default: '2' },
    'memory-limit': { type: 'string', default: '0' },
    converted: { type: 'boolean', default: false },
    image: { type: 'string', multiple: true },
    'reference-interval': { type: 'string' },
    pictures: { type: 'string' },
  },
});
if (values.help) {
  console.log(usage);
  process.exit();
}
const [name = '', ...rest] = positionals;
const run = benchmarks[name];
// `full` takes a folder, and two benchmarks the names of their parts.
const parts: Record<string, readonly string[]> = { fleet: fleetParts, caches: cacheParts };
const hasItsWords = parts[name]
  ? rest.every((part) => parts[name]!.includes(part))
  : rest.length === (name === 'full' ? 1 : 0);
if (!run || !hasItsWords) {
  console.error(`Found '${positionals.join(' ')}', expected:\n${usage}`);
  process.exit(2);
}
const images = fullImages.filter((image) => values.image?.includes(image) ?? true);
if (values.image && images.length < values.image.length) {
  console.error(`--image is ${values.image.join(', ')}, expected: ${fullImages.join(', ')}`);
  process.exit(2);
}
const interval = values['reference-interval'];
const options = {
  threads: Number(values.threads ?? os.availableParallelism()),
  runs: Number(values.runs ?? 3),
  device: {
    name: values.device as DeviceName,
    minutes: Number(values.minutes),
    tokens: name === 'device' ? chosen('--tokens', values.tokens, deviceTokens) : [],
    precisions: name === 'device' ? chosen('--precision', values.precision, devicePrecisions) : [],
  },
  block: {
    tokens: name === 'block' ? chosen('--tokens', values.tokens ?? '768,2304', blockTokens) : [],
    precisions:
      name === 'block' || name === 'layers' ? chosen('--precision', values.precision, blockPrecisions) : [],
  },
  sides: name === 'layers' ? chosen('--side', values.side ?? '256,512', layerSides) : [],
  peers: (values.peer ?? []).map(readPeer),
  rest,
  full: {
    precision: (values.precision ?? 'int8') as PrecisionName,
    side: Number(values.side ?? 1024),
    steps: Number(values.steps),
    memoryLimit: Number(values['memory-limit']) * 2 ** 30,
    converted: values.converted,
    images,
    ...(interval === undefined ? {} : { referenceInterval: Number(interval) }),
    ...(values.pictures === undefined ? {} : { pictures: values.pictures }),
  },
};
const report: Report = { name, machine: machine(options.threads), rows: await run(options) };
console.log(
  Object.entries(report.machine)
    .map(([key, value]) => `${key}: ${value}`)
    .join(', '),
);
console.log(table(report.rows));
if (values.json) fs.writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);

/** The words of a list separated by commas; all that there are without it. */
function chosen<T extends string | number>(
  flag: string,
  list: string | undefined,
  all: readonly T[],
): readonly T[] {
  const words = list?.split(',') ?? all.map(String);
  const unknown = words.filter((word) => !all.map(String).includes(word));
  if (unknown.length === 0) return all.filter((each) => words.includes(String(each)));
  console.error(`Found ${flag} '${unknown.join(',')}', expected some of ${all.join(',')}`);
  process.exit(2);
}
