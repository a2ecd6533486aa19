/** Timing, and tables of the results. */
import { createRequire } from 'node:module';
import os from 'node:os';
import type { DeviceName, PrecisionName } from '../src/engine/plan.ts';
import type { BlockSettings } from './block.ts';
import type { DevicePrecision } from './device.ts';
import type { FullImage } from './full.ts';
import type { Peer } from './peers.ts';

export type Row = Record<string, string | number>;
export type Report = { name: string; machine: Record<string, string | number>; rows: Row[] };
export type Options = {
  threads: number;
  runs: number;
  /** Of the benchmark `device`; others measure the CPU. */
  device: DeviceSettings;
  block: BlockSettings;
  /** Of the benchmark `layers`, in pixels. */
  sides: readonly number[];
  peers: readonly Peer[];
  rest: readonly string[];
  full: FullSettings;
};
export type DeviceSettings = {
  name: DeviceName;
  /** Parts that would take longer are left out. */
  minutes: number;
  tokens: readonly number[];
  precisions: readonly DevicePrecision[];
};
/** Options of the benchmark `full`; a limit of 0 is the product's own. */
export type FullSettings = {
  precision: PrecisionName;
  side: number;
  steps: number;
  memoryLimit: number;
  converted: boolean;
  images: readonly FullImage[];
  referenceInterval?: number;
  pictures?: string;
};

/** Milliseconds of the fastest of some runs after one to warm up: the least disturbed by other work on the machine. */
export async function fastest(runs: number, work: () => Promise<unknown>): Promise<number> {
  await work();
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) {
    const begin = performance.now();
    await work();
    best = Math.min(best, performance.now() - begin);
  }
  return best;
}

export function machine(threads: number): Report['machine'] {
  const runtime = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  return {
    processor: os.cpus()[0]?.model ?? 'unknown',
    cores: os.availableParallelism(),
    threads,
    'memory (GiB)': Math.round(os.totalmem() / 2 ** 30),
    'load before': Number(os.loadavg()[0]!.toFixed(2)),
    node: process.version,
    'onnxruntime-node': runtime.version,
  };
}

/** Rows with the same keys, aligned for a terminal. */
export function table(rows: readonly Row[]): string {
  const keys = Object.keys(rows[0] ?? {});
  const cells = [keys, ...rows.map((row) => keys.map((key) => String(row[key] ?? '')))];
  const widths = keys.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  return cells
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** A ratio in dB for a table; equal pictures have an infinite one. */
export function inDecibels(value: number): number | '∞' {
  return Number.isFinite(value) ? round(value, 1) : '∞';
}

export const round = (value: number, digits = 0): number => Number(value.toFixed(digits));
