/**
 * The real width through the whole product: files in the published layout, one block of each kind, in four bits. Its
 * assertions count bytes; seconds depend on what else the machine does.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type FullRun, runFull } from '../../bench/full.ts';
import { writeFullSize } from '../../bench/full-size/checkpoint.ts';

const GiB = 2 ** 30;
/** All networks just fit: where some must be released for others, malloc keeps part of their memory. */
const memoryLimit = 1.75 * GiB;

let folder: string;
let runs: Map<string, FullRun>;
let diskBefore: string[];

const isLinux = process.platform === 'linux';

beforeAll(async () => {
  if (!isLinux) return;
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-full-size-'));
  writeFullSize(folder, {
    ...{ format: 'gguf-q4_k_s', t5: 'gguf-q5_k_m' },
    ...{ depth: { double: 1, single: 1 }, t5Layers: 1 },
  });
  diskBefore = fs.readdirSync(folder);
  const options = { folder, precision: 'int4', side: 64, steps: 1, threads: 2, memoryLimit } as const;
  const found = await runFull({
    ...options,
    images: ['text to image', 'text to image again'],
    converted: false,
  });
  runs = new Map(found.map((run) => [run.name, run]));
}, 600_000);

afterAll(() => isLinux && fs.rmSync(folder, { recursive: true }));

const peakOf = (name: string) => Math.max(...runs.get(name)!.phases.map(({ peak, mapped }) => peak + mapped));

it.runIf(isLinux)('weights are converted in less than a gigabyte', () => {
  expect(peakOf('models prepare')).toBeLessThan(GiB);
});

it.runIf(isLinux)('no phase of a first or second image passes the memory limit by more than 5 %', () => {
  for (const name of ['text to image', 'text to image again'])
    for (const { name: phase, peak } of runs.get(name)!.phases)
      expect(peak, `${name}, ${phase}`).toBeLessThan(1.05 * memoryLimit);
});

it.runIf(isLinux)('an image loads what was converted, and converts nothing again', () => {
  const { phases } = runs.get('text to image')!;
  expect(phases.map(({ name }) => name)).toEqual(['load', 'encode', 'step 1', 'decode']);
  expect(fs.readdirSync(folder).sort()).toEqual([...diskBefore, 'bench-data'].sort());
  const model = path.join(folder, 'bench-data', 'models');
  const cached = fs.readdirSync(model, { recursive: true }).map(String);
  expect(
    cached
      .filter((name) => name.endsWith('.safetensors'))
      .map((name) => path.basename(name))
      .sort(),
  ).toEqual(['clip-int4.safetensors', 't5-int4.safetensors', 'transformer-int4.safetensors']);
});
