/** Decoding in bands gives the image of the whole decoder within rounding, tells its share, and can be stopped. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { decoderGraph } from '../../src/engine/models/autoencoder.ts';
import { autoencoderConfig } from '../../src/engine/models/autoencoder-config.ts';
import { bandRows } from '../../src/engine/models/autoencoder-memory.ts';
import type { LatentDecoder } from '../../src/engine/networks/autoencoder.ts';
import { BandedImage, GroupMoments } from '../../src/engine/networks/banded-image.ts';
import { decodeInBands } from '../../src/engine/networks/decoder-in-bands.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import { f32Tensor, floats } from '../../src/engine/onnx/tensor.ts';
import { decode } from '../../src/engine/pipeline/decode.ts';
import type { EngineEvent } from '../../src/engine/plan.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { autoencoderDialects } from '../../src/engine/weights/dialects/autoencoder.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { scriptedPlan } from '../fixtures/plans.ts';
import { tinyFile } from '../fixtures/tiny-flux.ts';

afterEach(() => vi.restoreAllMocks());

const compute = { precision: 'f32', fused: true } as const;
const session = { device: 'cpu', threads: 1 } as const;

function open(name: string) {
  const source = new WeightSource(openCheckpoint(tinyFile(`${name}.safetensors`)), autoencoderDialects);
  const config = autoencoderConfig(source);
  const [h, w] = [12, 6];
  const length = config.latentChannels * h * w;
  const values = Float32Array.from({ length }, (_, i) => 2 * Math.sin(i * 0.37));
  const latent = f32Tensor(values, [1, config.latentChannels, h, w]);
  return { latent, source, config };
}

async function inBands({ latent, source, config }: ReturnType<typeof open>, rows: number) {
  const decoding = decodeInBands(latent, { source, config, compute, session }, rows);
  const shares: number[] = [];
  for (;;) {
    const next = await decoding.next();
    if (next.done) return { image: next.value, shares };
    shares.push(next.value);
  }
}

/**
 * Convolutions add the same products in another order, and groups are measured by other sums. One of 255 levels is 7.8e-3 of
 * the range -1 … 1.
 */
const rounding = 3.3e-6;

describe.each(['ae_tiny', 'ae_shuffle_tiny', 'ae_patch_tiny'])('the image of %s decoded in bands', (name) => {
  it('differs from the whole one by rounding alone, whatever the height of the bands', async () => {
    const opened = open(name);
    const { source, config, latent } = opened;
    const whole = await Session.compile(decoderGraph(source, config, compute), session);
    const { image } = await whole.run({ latent });
    await whole.release();
    const expected = floats(image!);
    // 12 rows are not a multiple of 5.
    for (const rows of [1, 2, 3, 5, 12]) {
      const { image: found } = await inBands(opened, rows);
      expect(found.length).toBe(expected.length);
      const difference = found.map((value, i) => Math.abs(value - expected[i]!));
      expect(difference.reduce((most, value) => Math.max(most, value), 0)).toBeLessThan(rounding);
    }
  });
});

it('the share of the work grows with every band of every layer to 1', async () => {
  const { shares } = await inBands(open('ae_tiny'), 4);
  expect(shares).toEqual([...shares].sort((a, b) => a - b));
  expect(shares.at(-1)).toBeCloseTo(1, 9);
  // The start, and of two levels with two blocks of two layers each, an enlargement and the last convolution three bands.
  expect(shares.length).toBe(1 + 3 * (2 * 2 * 2 + 2));
});

it('a decoding that is stopped releases its session and its images', async () => {
  const compiled = vi.spyOn(Session, 'compile');
  const released = vi.spyOn(Session.prototype, 'release');
  const images = new Set<BandedImage>();
  vi.spyOn(BandedImage.prototype, 'free').mockImplementation(function (this: BandedImage) {
    images.add(this);
  });
  const opened = open('ae_tiny');
  const decoding = decodeInBands(opened.latent, { ...opened, compute, session }, 4);
  // The start, the three bands of a block's first layer, and one of its second.
  for (let i = 0; i < 5; i++) await decoding.next();
  images.clear();
  await decoding.return(new Float32Array());
  expect(released).toHaveBeenCalledTimes(compiled.mock.calls.length);
  // The block's input, its inner image, and its result.
  expect(images.size).toBe(3);
});

describe('an image in bands', () => {
  const shape = { channels: 3, width: 4, heights: [2, 2, 1] };
  const values = Float32Array.from({ length: 3 * 5 * 4 }, (_, i) => i);

  it('is cut by rows and joined again', () => {
    const image = BandedImage.of(values, shape);
    expect(image.band(2).dims).toEqual([1, 3, 1, 4]);
    expect([...floats(image.band(2))]).toEqual([16, 17, 18, 19, 36, 37, 38, 39, 56, 57, 58, 59]);
    expect(image.joined()).toEqual(values);
  });

  it('gives its memory back when the last band of a block is freed', () => {
    const large = { channels: 1, width: 2 ** 20, heights: [2, 2, 2] };
    const image = new BandedImage(large);
    const buffers = [0, 1, 2].map((i) => floats(image.band(i)).buffer as ArrayBuffer);
    // Two bands of 8 MiB are one block of 16.
    expect(buffers[0]).toBe(buffers[1]);
    image.free(1);
    expect(() => image.band(0)).toThrow('band 0 of 3 was freed');
    expect(buffers.map(({ detached }) => detached)).toEqual([false, false, false]);
    image.free(2);
    expect(buffers.map(({ detached }) => detached)).toEqual([true, true, false]);
    image.free();
    expect(buffers[2]!.detached).toBe(true);
  });
});

it('moments of rows give the mean and deviation of groups, also where the mean is much larger than the deviation', () => {
  const [channels, rows, width, groups] = [4, 6, 8, 2];
  const value = (c: number, i: number) => 1000 * (1 + (c >> 1)) + Math.sin(i * 1.7 + c);
  const moments = new GroupMoments(channels);
  for (let row = 0; row < rows; row += 2) {
    const cells = (f: (values: number[]) => number) =>
      f32Tensor(
        Float32Array.from({ length: channels * 2 }, (_, k) =>
          f(Array.from({ length: width }, (_, x) => value(k >> 1, (row + (k & 1)) * width + x))),
        ),
        [1, channels, 2, 1],
      );
    const mean = (values: number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
    const squares = cells((values) => mean(values.map((one) => (one - mean(values)) ** 2)));
    moments.add({ means: cells(mean), squares });
  }
  const { mean, deviation } = moments.statistics(groups);
  for (let group = 0; group < groups; group++) {
    const all = [0, 1].flatMap((c) =>
      Array.from({ length: rows * width }, (_, i) => value(2 * group + c, i)),
    );
    const center = all.reduce((sum, one) => sum + one, 0) / all.length;
    const spread = Math.sqrt(all.reduce((sum, one) => sum + (one - center) ** 2, 0) / all.length);
    expect(floats(mean)[2 * group]! / center).toBeCloseTo(1, 6);
    expect(floats(deviation)[2 * group + 1]! / spread).toBeCloseTo(1, 4);
  }
});

it('a band has about 16 MiB with 128 channels, and no more rows than the image', () => {
  const flux = { stride: 8 } as Parameters<typeof bandRows>[0];
  const rows = (width: number, height: number) => bandRows(flux, { w: width / 8, h: height / 8 });
  expect(rows(1024, 1024)).toBe(4);
  expect(rows(1568, 672)).toBe(2);
  expect(rows(64, 64)).toBe(8);
});

describe('the decoding of a plan', () => {
  const latent = { channels: 4, h: 2, w: 2 };
  const canvas = { width: 16, height: 16 };
  const encoded = { latent, canvas } as Parameters<typeof decode>[1]['encoded'];
  const x = new Float32Array(16);
  const plan = { ...scriptedPlan('', {}), width: 16, height: 16 };

  /** A decoder of four parts of 0.7 s. */
  function scripted() {
    let now = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    const state = { isStopped: false, parts: 0 };
    const decoder: LatentDecoder = {
      decode: async function* () {
        try {
          for (; state.parts < 4; ) {
            now += 700;
            state.parts++;
            yield state.parts / 4;
          }
          return new Float32Array(3 * 256);
        } finally {
          state.isStopped = true;
        }
      },
      release: async () => {},
    };
    const loading = async function* () {
      yield { message: 'loading image decoder', fraction: 0 };
      return decoder;
    };
    return { state, loading: loading() };
  }

  it('tells its share at most once a second, and never all of it', async () => {
    const { loading } = scripted();
    const { signal } = new AbortController();
    const events: EngineEvent[] = [];
    for await (const event of decode({ plan, signal }, { x, encoded }, loading)) events.push(event);
    const stage = { type: 'stage-progress', stage: 'decode' };
    expect(events).toEqual([
      { ...stage, message: 'loading image decoder', fraction: 0, loads: true },
      { ...stage, message: 'decoding the image', fraction: 0 },
      { ...stage, message: 'decoding the image', fraction: 0.5 },
      { ...stage, message: 'decoding the image', fraction: 0.99 },
    ]);
  });

  it('stops between two parts when the run is cancelled', async () => {
    const { state, loading } = scripted();
    const stop = new AbortController();
    const run = async () => {
      for await (const event of decode({ plan, signal: stop.signal }, { x, encoded }, loading))
        if (event.type === 'stage-progress' && !event.loads) stop.abort();
    };
    await expect(run()).rejects.toMatchObject({ code: 'engineAborted' });
    expect(state).toEqual({ isStopped: true, parts: 1 });
  });
});
