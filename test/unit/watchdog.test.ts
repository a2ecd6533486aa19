/** Silences of an engine that makes an image of FLUX.1's size, on a clock that is moved by hand. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { EngineEvent, StageName } from '../../src/engine/plan.ts';
import { type Watch, Watchdog, watchdogDefaults } from '../../src/engine/process/watchdog.ts';
import { scriptedPlan } from '../fixtures/plans.ts';

const plan = scriptedPlan('');
let watchdog: Watchdog;
let watch: Watch;
let hung: string[];

beforeEach(() => {
  vi.useFakeTimers();
  watchdog = new Watchdog(watchdogDefaults);
  begin();
});

afterEach(() => {
  watch.end();
  vi.useRealTimers();
});

function begin(): void {
  hung = [];
  watch?.end();
  watch = watchdog.watch(plan, (sentence) => hung.push(sentence));
}

function after(seconds: number, event: EngineEvent): void {
  vi.advanceTimersByTime(1000 * seconds);
  watch.note(event);
}

const progress = (stage: StageName, message: string, fraction: number, loads = false): EngineEvent => ({
  ...{ type: 'stage-progress', stage, message, fraction },
  ...(loads ? { loads } : {}),
});
const blocks = (done: number) => progress('denoise', `step 1 of 2, ${done} of 57 blocks`, done / 57);
const stepEnd: EngineEvent = { type: 'step-end', index: 0, steps: 2, sigma: 0.5, milliseconds: 1 };

function encoded(): void {
  after(2, { type: 'load-end', milliseconds: 1, device: 'cpu', precision: 'int4' });
  after(70, progress('encode', 'loading T5', 0.5, true));
  after(30, progress('encode', 'encoding the prompt', 0));
  after(1, progress('encode', 'encoding references', 0));
  after(90, { type: 'encode-end', milliseconds: 1 });
  after(0.01, progress('load', 'loading the transformer', 0.2, true));
  after(40, progress('load', 'loading the transformer', 0.8, true));
}

it('the blocks after the first one may take their share of a step, though the first came soon', () => {
  encoded();
  after(5, blocks(1));
  after(400, blocks(50));
  after(60, stepEnd);
  after(0.01, {
    type: 'preview',
    index: 0,
    image: { bytes: new Uint8Array(), format: 'png', width: 8, height: 8 },
  });
  after(5, blocks(1));
  after(500, stepEnd);
  expect(hung).toEqual([]);
});

it('a step is hung after ten times the longest one', () => {
  encoded();
  after(5, blocks(1));
  after(95, stepEnd);
  begin();
  encoded();
  after(5, blocks(1));
  vi.advanceTimersByTime(3_000_000);
  expect(hung).toEqual([
    expect.stringMatching(/silent for \d+\.\d s while denoising \(step 1 of 2, 1 of 57 blocks\)/),
  ]);
});

it('references are not judged by the time of the prompt, nor loading by that of anything else', () => {
  encoded();
  after(5, stepEnd);
  begin();
  encoded();
  after(5, stepEnd);
  after(1, progress('decode', 'loading decoder', 0, true));
  after(500, { type: 'decode-end', milliseconds: 1 });
  expect(hung).toEqual([]);
});
