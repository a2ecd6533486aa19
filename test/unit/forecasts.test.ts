import { describe, expect, it } from 'vitest';
import { forecast, imageWork, totalSeconds } from '../../src/engine/forecast/forecast.ts';
import { measureRates } from '../../src/engine/forecast/measure.ts';
import { decoderWork, encoderWork, transformerWork } from '../../src/engine/forecast/work.ts';
import { openComponents } from '../../src/engine/networks/components.ts';
import { type EngineEvent, type Plan, plainNumerics, plainPlan } from '../../src/engine/plan.ts';
import { Forecasts } from '../../src/tasks/forecast/forecasts.ts';
import { ImageProgress, slowFields } from '../../src/tasks/forecast/image-progress.ts';
import { progressText } from '../../src/tasks/forecast/progress-text.ts';
import { pipelinePlan } from '../fixtures/plans.ts';

const tinyModel = pipelinePlan('none').model;

const flux = {
  ...{ inChannels: 64, outChannels: 64, vecIn: 768, contextIn: 4096, hidden: 3072, heads: 24, mlp: 12288 },
  ...{ depth: 19, depthSingle: 38, axes: [16, 56, 56], theta: 10000, guidance: true, qkvBias: true },
};
const autoencoder = {
  ...{ channels: [128, 256, 512, 512], decoderChannels: [128, 256, 512, 512], encoderBlocks: 2 },
  ...{ decoderBlocks: 3, imageChannels: 3, latentChannels: 16, groups: 32, patch: 1, decoderPatch: 1 },
  ...{ upsample: 'nearest' as const, stride: 8, scale: 0.3611, shift: 0.1159 },
};

describe('the work of FLUX.1 Kontext at 1024×1024', () => {
  it('is 165 TFLOP for a step of an edit: 2·N·S of the weights and 4·S²·D of each attention', () => {
    const { products, attention } = transformerWork(flux, 512 + 2 * 4096);
    // 12·D² weights in each of 57 blocks, modulation left out.
    expect(products).toBe(2 * 8704 * 57 * 12 * 3072 ** 2);
    expect(attention).toBe(4 * 8704 ** 2 * 3072 * 57);
    expect((products + attention) / 1e12).toBeCloseTo(165.4, 1);
  });

  it('is 9.9 TFLOP of convolutions for the decoder and 4.3 for the encoder', () => {
    const size = { width: 1024, height: 1024 };
    expect(decoderWork(autoencoder, size).convolutions / 1e12).toBeCloseTo(9.89, 2);
    expect(encoderWork(autoencoder, size).convolutions / 1e12).toBeCloseTo(4.3, 1);
    expect(decoderWork(autoencoder, { width: 512, height: 1024 }).convolutions).toBeCloseTo(
      9.888e12 / 2,
      -11,
    );
  });
});

it('rates are measured as numbers that work can be divided by', async () => {
  const rates = await measureRates(['int8', 'int4'], 1);
  const all = [rates.products.int8, rates.products.int4, rates.attention, rates.convolutions, rates.passes];
  for (const rate of all) expect(rate).toSatisfy((value: number) => Number.isFinite(value) && value > 1e6);
});

const rates = { products: { int8: 5e11, f32: 1e11 }, attention: 1e11, convolutions: 1e11, passes: 1e10 };
const plan = { ...plainPlan, width: 1024, height: 1024, steps: 28, references: [new Uint8Array()] };

it('true CFG doubles the passes of a step, and a sampler of the second order nearly does', async () => {
  const components = await openComponents(tinyModel);
  const seconds = (change: Partial<Plan>) =>
    forecast(imageWork(components, { ...plan, ...change }), rates, 'f32').step;
  expect(seconds({ trueCfg: 4 })).toBeCloseTo(2 * seconds({}), 9);
  expect(seconds({ sampler: 'heun' }) / seconds({})).toBeCloseTo(55 / 28, 9);
});

it('four-bit weights of a wide transformer are expanded and multiplied at the rate of eight bits', () => {
  const work = transformerWork(flux, 512 + 2 * 4096);
  const steps = { encode: work, step: work, steps: 1, decode: work };
  const seconds = (precision: 'int4' | 'int8') =>
    forecast(steps, { ...rates, products: { int8: 5e11, int4: 1e11 } }, precision).step;
  // 57 blocks and as many second streams as double ones have 12·D² weights each, of which 14 bytes are read or written.
  expect(seconds('int4') - seconds('int8')).toBeCloseTo((14 * (19 + 57) * 12 * 3072 ** 2) / 1e10, 3);
  const narrow = transformerWork({ ...flux, hidden: 512, mlp: 2048 }, 1024);
  expect(narrow.expanded).toBe(0);
});

const whole = (change: Partial<Plan> = {}): Plan => ({
  ...plan,
  ...{ model: tinyModel, prompt: '', seed: 1n, guidance: 2.5, numerics: plainNumerics },
  output: { format: 'png', quality: 95 },
  ...change,
});

describe('forecasts', () => {
  /** So large that a forecast is worth a measurement, even of a tiny model. */
  const large = whole({ width: 16384, height: 16384, steps: 50 });

  it('measure the machine once, for images that take long alone', async () => {
    let measured = 0;
    const forecasts = new Forecasts({
      threads: 2,
      measure: async () => {
        measured++;
        return rates;
      },
    });
    expect(await forecasts.of(whole({ width: 64, height: 64 }))).toBeUndefined();
    expect(measured).toBe(0);
    expect(totalSeconds((await forecasts.of(large))!)).toBeGreaterThan(1);
    await forecasts.of(large);
    expect(measured).toBe(1);
  });

  it('learn from what images took, except from first steps and from steps of a cache', async () => {
    const forecasts = new Forecasts({ threads: 2, measure: async () => rates });
    const step = (index: number, milliseconds: number): EngineEvent => ({
      type: 'step-end',
      ...{ index, steps: 50, sigma: 0.5, milliseconds },
    });
    await forecasts.note(large, step(0, 9_000_000));
    await forecasts.note(
      { ...large, cache: { name: 'tea', threshold: 0.1, from: 0, to: 50 } as never },
      step(1, 1),
    );
    const before = (await forecasts.of(large))!.step;
    await forecasts.note(large, step(1, 2000 * before));
    expect((await forecasts.of(large))!.step).toBeCloseTo(2 * before, 6);
  });

  it('are silent where the machine cannot be measured, or the files not opened', async () => {
    const forecasts = new Forecasts({ threads: 2, measure: async () => undefined });
    expect(await forecasts.of(large)).toBeUndefined();
    const files = { layout: 'diffusers' as const, folder: '/nowhere' };
    expect(
      await forecasts.of({ ...large, model: { ...tinyModel, air: 'no:files@1', files } }),
    ).toBeUndefined();
  });
});

describe('the progress of an image of three hours', () => {
  const setup = () => {
    let now = 0;
    const progress = new ImageProgress(28, () => now);
    progress.expect({ encode: 30, step: 386, steps: 28, decode: 60 });
    const pass = (seconds: number) => (now += 1000 * seconds);
    return { progress, pass, percent: () => progress.state.percent };
  };
  const stepEnd = (index: number, seconds: number): EngineEvent => ({
    type: 'step-end',
    ...{ index, steps: 28, sigma: 0.5, milliseconds: 1000 * seconds },
  });
  const loaded: EngineEvent = { type: 'load-end', milliseconds: 1, device: 'cpu', precision: 'int8' };
  const encoded: EngineEvent = { type: 'encode-end', milliseconds: 1 };

  it('knows the time left before the first step ends', () => {
    const { progress, pass } = setup();
    progress.note(loaded);
    pass(30);
    progress.note(encoded);
    expect(progress.state.left).toBeCloseTo(28 * 386 + 60, 6);
    pass(100);
    expect(progress.state.left).toBeCloseTo(28 * 386 + 60 - 100, 6);
    progress.note(stepEnd(0, 400));
    expect(progress.state.left).toBeCloseTo(27 * 400 + 60, 6);
  });

  it('moves while a step computes, never back, and reaches 100 only with the image', () => {
    const { progress, pass, percent } = setup();
    progress.note(loaded);
    progress.note(encoded);
    const seen: number[] = [];
    for (let step = 0; step < 28; step++) {
      for (let minute = 0; minute < 8; minute++) {
        pass(60);
        seen.push(percent());
      }
      progress.note(stepEnd(step, 480));
    }
    for (let minute = 0; minute < 3; minute++) {
      pass(60);
      seen.push(percent());
    }
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(99);
    // One percent is 130 s of these: no value stands for more than four minutes.
    for (const value of new Set(seen.filter((each) => each < 99)))
      expect(seen.filter((each) => each === value).length, `${value} %`).toBeLessThanOrEqual(4);
  });

  it('goes on with the steps after a transformer that is loaded when the prompt is encoded', () => {
    const { progress, pass } = setup();
    progress.note(loaded);
    pass(30);
    progress.note(encoded);
    const loading = { stage: 'load', message: 'loading transformer', fraction: 0.25 } as const;
    progress.note({ type: 'stage-progress', ...loading });
    pass(20);
    expect(progress.state).toMatchObject({ phase: 'load', left: 28 * 386 + 60 });
    progress.note(stepEnd(0, 386));
    expect(progress.state).toMatchObject({ phase: 'denoise', step: 1, left: 27 * 386 + 60 });
    progress.note(stepEnd(27, 386));
    expect(progress.state).toMatchObject({ phase: 'decode', left: 60 });
  });

  it('takes the blocks that are computed for more than the clock', () => {
    const { progress, pass } = setup();
    progress.note(loaded);
    progress.note(encoded);
    pass(10);
    progress.note({
      type: 'stage-progress',
      stage: 'denoise',
      message: 'step 1 of 28, 29 of 57 blocks',
      fraction: 0.5,
    });
    expect(progress.state).toMatchObject({ phase: 'denoise', message: 'step 1 of 28, 29 of 57 blocks' });
    expect(progress.state.left).toBeCloseTo(27.5 * 386 + 60, 6);
  });

  it('takes the rate of the decoding as soon as it tells its share', () => {
    const { progress, pass } = setup();
    progress.note(loaded);
    progress.note(encoded);
    progress.note(stepEnd(27, 386));
    const stage = { type: 'stage-progress', stage: 'decode' } as const;
    progress.note({ ...stage, message: 'loading image decoder', fraction: 0.5, loads: true });
    pass(7);
    expect(progress.state).toMatchObject({ phase: 'decode', left: 53 });
    progress.note({ ...stage, message: 'decoding the image', fraction: 0 });
    pass(50);
    progress.note({ ...stage, message: 'decoding the image', fraction: 0.25 });
    expect(progress.state).toMatchObject({ phase: 'decode', message: 'decoding the image' });
    expect(progress.state.left).toBeCloseTo(150, 6);
  });

  it('tells bytes, rate and time left of weights that are converted', () => {
    const { progress, pass } = setup();
    const GiB = 2 ** 30;
    const written = (done: number): EngineEvent => ({
      ...{ type: 'stage-progress', stage: 'load', message: 'preparing transformer for int8' },
      ...{ fraction: done / 11, bytes: { done: done * GiB, total: 11 * GiB } },
    });
    progress.note(written(0));
    pass(10);
    progress.note(written(1));
    expect(progressText(progress.state)).toBe(
      'Loading the model: preparing transformer for int8, 1.0 GiB of 11.0 GiB, 102.4 MiB/s, 1 min 40 s left; 0 % done, about 3 h 1 min left.',
    );
    expect(slowFields(progress.state)).toEqual({ progress: 0, secondsLeft: 10898 });
  });
});

it('without a forecast, progress counts steps, and an image of two seconds tells no time', () => {
  let now = 0;
  const progress = new ImageProgress(4, () => now);
  expect(progress.state).toMatchObject({ phase: 'load', percent: 0 });
  progress.note({ type: 'encode-end', milliseconds: 1 });
  now = 100;
  progress.note({ type: 'step-end', index: 0, steps: 4, sigma: 0.5, milliseconds: 100 });
  expect(progress.state).toMatchObject({ phase: 'denoise', percent: 25 });
  expect(slowFields(progress.state)).toEqual({});
});
