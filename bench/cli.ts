/** `npm run bench -- NAME [--threads N] [--runs N] [--json FILE] [--peer NAME=COMMAND]…` */
import fs from 'node:fs';
import os from 'node:os';
import { parseArgs } from 'node:util';
import { block } from './block.ts';
import { caches } from './caches.ts';
import { edit } from './edit.ts';
import { http } from './http.ts';
import { layers } from './layers.ts';
import { lora } from './lora.ts';
import { machine, type Options, type Report, type Row, table } from './measure.ts';
import { memory } from './memory.ts';
import { readPeer } from './peers.ts';

const benchmarks: Record<string, (options: Options) => Promise<Row[]>> = {
  block,
  layers,
  lora,
  edit,
  http,
  memory,
  caches,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: 'string' },
    runs: { type: 'string' },
    json: { type: 'string' },
    peer: { type: 'string', multiple: true },
  },
});
const [name = '', ...rest] = positionals;
const run = benchmarks[name];
// Only `full` takes a folder.
if (!run || rest.length !== (name === 'full' ? 1 : 0)) {
  console.error(`Found '${positionals.join(' ')}', expected one of: ${Object.keys(benchmarks).join(', ')}`);
  process.exit(2);
}
const options = {
  threads: Number(values.threads ?? os.availableParallelism()),
  runs: Number(values.runs ?? 3),
  peers: (values.peer ?? []).map(readPeer),
  rest,
};
const report: Report = { name, machine: machine(options.threads), rows: await run(options) };
console.log(
  Object.entries(report.machine)
    .map(([key, value]) => `${key}: ${value}`)
    .join(', '),
);
console.log(table(report.rows));
if (values.json) fs.writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
