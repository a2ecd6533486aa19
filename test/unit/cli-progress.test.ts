import { afterEach, describe, expect, it, vi } from 'vitest';
import { follow, formatPlain, formatProgress, isNews, noProgress } from '../../src/cli/terminal/progress.ts';
import { ProgressView } from '../../src/cli/terminal/progress-view.ts';
import type { EngineEvent } from '../../src/engine/plan.ts';
import { formatDuration } from '../../src/tasks/forecast/progress-text.ts';

const loaded: EngineEvent = { type: 'load-end', milliseconds: 1, device: 'cpu', precision: 'f32' };
const encoded: EngineEvent = { type: 'encode-end', milliseconds: 1 };
const step = (index: number, milliseconds = 1000, steps = 8): EngineEvent => ({
  type: 'step-end',
  index,
  steps,
  sigma: 0.5,
  milliseconds,
});
const loading = (fraction: number): EngineEvent => ({
  type: 'stage-progress',
  stage: 'load',
  message: 'quantising weights',
  fraction,
});
const seen = (...events: EngineEvent[]) => events.reduce(follow, noProgress);

describe('the line', () => {
  it('says how far a stage is, and with what', () => {
    expect(formatProgress(seen(loading(0.5)), 100)).toBe(
      'Loading   ████████████░░░░░░░░░░░░  50 % · quantising weights',
    );
  });

  it('counts steps from one, and tells pace and time left', () => {
    expect(formatProgress(seen(loaded, encoded, step(0, 500), step(1, 1500)), 100)).toBe(
      'Editing   ██████░░░░░░░░░░░░░░░░░░  step 2 of 8 · 1.00 s/it · 6 s left',
    );
  });

  it('forgets the slow first steps', () => {
    const events = Array.from({ length: 6 }, (_, index) => step(index, index === 0 ? 60_000 : 2000));
    expect(formatPlain(seen(loaded, encoded, ...events))).toBe('Editing: step 6 of 8 · 2.00 s/it · 4 s left');
  });

  it('goes back to editing once the transformer is loaded', () => {
    expect(formatPlain(seen(loaded, encoded, loading(0.2)))).toBe('Loading: 20 % · quantising weights');
    expect(formatPlain(seen(loaded, encoded, loading(0.2), loading(1)))).toBe('Editing: first step');
  });

  it('takes the decoding of a preview for a part of editing', () => {
    const decoding: EngineEvent = {
      type: 'stage-progress',
      stage: 'decode',
      message: 'loading',
      fraction: 0.5,
    };
    expect(formatPlain(seen(loaded, encoded, step(0), decoding))).toContain('step 1 of 8');
    expect(formatPlain(seen(loaded, encoded, step(7), decoding))).toContain('Decoding');
  });

  it('is cut to the width of the terminal', () => {
    expect(formatProgress(seen(loaded, encoded, step(0)), 30)).toHaveLength(29);
  });
});

it('durations are in the two largest units', () => {
  expect([0.4, 59, 61, 3599.6, 3725, 90_000].map(formatDuration)).toEqual([
    '0 s',
    '59 s',
    '1 min 1 s',
    '1 h 0 min',
    '1 h 2 min',
    '25 h 0 min',
  ]);
});

describe('in a log', () => {
  it('a new stage, each quarter of the steps and the end of a silence are news', () => {
    const [first, second, third] = [seen(encoded, step(0)), seen(encoded, step(1)), seen(encoded, step(2))];
    expect(isNews(seen(loaded), seen(loaded, encoded), 0)).toBe(true);
    expect(isNews(first, second, 0)).toBe(true);
    expect(isNews(second, third, 0)).toBe(false);
    expect(isNews(second, third, 10_000)).toBe(true);
    expect(isNews(third, third, 10_000)).toBe(false);
  });

  it('has one plain line for each', () => {
    let text = '';
    const view = new ProgressView({ write: (part: string) => (text += part) }, () => 0);
    for (const event of [loaded, encoded, ...Array.from({ length: 8 }, (_, index) => step(index))])
      view.follow(event);
    view.end();
    expect(text.split('\n')).toEqual([
      'Encoding',
      'Editing: first step',
      'Editing: step 2 of 8 · 1.00 s/it · 6 s left',
      'Editing: step 4 of 8 · 1.00 s/it · 4 s left',
      'Editing: step 6 of 8 · 1.00 s/it · 2 s left',
      'Decoding',
      '',
    ]);
  });
});

it('a terminal has one line, redrawn, and notes above it', () => {
  let text = '';
  const view = new ProgressView(
    { write: (part: string) => (text += part), isTTY: true, columns: 20 },
    () => 0,
  );
  view.note('hello');
  view.end();
  expect(text).toBe('\r\x1b[KLoading   ░░░░░░░░░\r\x1b[Khello\n\r\x1b[KLoading   ░░░░░░░░░\r\x1b[K');
});

it('a terminal that does not know its width is taken for 80 columns wide', () => {
  let text = '';
  new ProgressView({ write: (part: string) => (text += part), isTTY: true, columns: 0 });
  expect(text).toContain('Loading');
});

describe('at full size', () => {
  const setup = (isTTY: boolean) => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    let [now, text] = [0, ''];
    const stream = { write: (part: string) => (text += part), isTTY, columns: 120 };
    const view = new ProgressView(stream, () => now);
    view.expect({ encode: 30, step: 386, steps: 28, decode: 60 });
    const pass = (seconds: number) => {
      now += 1000 * seconds;
      text = '';
      vi.advanceTimersByTime(1000 * seconds);
      return text;
    };
    return { view, pass };
  };
  afterEach(() => {
    vi.useRealTimers();
  });

  it('the line moves between events, and the time left is told before the first step ends', () => {
    const { view, pass } = setup(true);
    view.follow(loaded);
    view.follow(encoded);
    expect(pass(60)).toContain('Editing   ░░░░░░░░░░░░░░░░░░░░░░░░  step 1 of 28 · about 3 h 0 min left');
    view.follow({
      type: 'stage-progress',
      ...{ stage: 'denoise', message: 'step 1 of 28, 29 of 57 blocks', fraction: 0.5 },
    });
    expect(pass(1)).toContain('step 1 of 28, 29 of 57 blocks · about 2 h 57 min left');
    view.end();
    expect(pass(10)).toBe('');
  });

  it('weights that are converted have bytes, a rate and the time left', () => {
    const { view, pass } = setup(true);
    const GiB = 2 ** 30;
    const written = (done: number) =>
      view.follow({
        ...{ type: 'stage-progress', stage: 'load', message: 'preparing T5 for int8' },
        ...{ fraction: done / 4, bytes: { done: done * GiB, total: 4 * GiB } },
      });
    written(0);
    pass(10);
    written(1);
    expect(pass(0.5)).toContain('25 % · preparing T5 for int8 · 1.0 GiB of 4.0 GiB · 97.5 MiB/s · 32 s left');
    view.end();
  });

  it('a log has a line at least twice a minute', () => {
    const { view, pass } = setup(false);
    view.follow(loaded);
    view.follow(encoded);
    expect(pass(29)).toBe('');
    expect(pass(1)).toBe('Editing: step 1 of 28 · about 3 h 0 min left\n');
    view.end();
  });
});
