import { beforeEach, describe, expect, it } from 'vitest';
import { smallerWeights } from '../../src/engine/networks/opened-model.ts';
import { Residents } from '../../src/engine/networks/residents.ts';
import type { PrecisionName } from '../../src/engine/plan.ts';
import { RetouchError } from '../../src/error.ts';

let log: string[];
let residents: Residents;

beforeEach(() => {
  log = [];
  residents = new Residents(100);
});

async function acquire(name: string, bytes: number, working = 0): Promise<string> {
  const load = async function* () {
    log.push(`load ${name}`);
    yield { message: `loading ${name}`, fraction: 0 };
    return {
      name,
      async release() {
        log.push(`release ${name}`);
      },
    };
  };
  const work = residents.acquire({ key: name, need: { bytes, working }, load });
  for (;;) {
    const next = await work.next();
    if (next.done) return next.value.name;
  }
}

async function failure(work: Promise<unknown>): Promise<RetouchError> {
  const error = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (error instanceof RetouchError) return error;
  throw new Error(`expected a RetouchError, found ${error}`);
}

describe('networks that fit together', () => {
  it('are loaded once', async () => {
    for (const name of ['text', 'image', 'text', 'image']) expect(await acquire(name, 50)).toBe(name);
    expect(log).toEqual(['load text', 'load image']);
  });

  it('are all released at the end', async () => {
    await acquire('text', 50);
    await acquire('image', 50);
    await residents.release();
    expect(log.slice(2)).toEqual(['release text', 'release image']);
    await acquire('text', 50);
    expect(log.at(-1)).toBe('load text');
  });
});

describe('networks that do not fit together', () => {
  it('go in the order in which they were used last, as few as it takes, before the next is loaded', async () => {
    await acquire('a', 30);
    await acquire('b', 30);
    await acquire('c', 30);
    await acquire('a', 30);
    await acquire('d', 60);
    expect(log.slice(3)).toEqual(['release b', 'release c', 'load d']);
  });

  it('go also for the working memory of the one that is about to run', async () => {
    await acquire('a', 40);
    await acquire('b', 40, 20);
    expect(log).toEqual(['load a', 'load b']);
    await acquire('b', 40, 21);
    expect(log.slice(2)).toEqual(['release a']);
  });

  it('leave the one alone that is asked for', async () => {
    await acquire('a', 50);
    await acquire('b', 50);
    await acquire('a', 50, 10);
    expect(log).toEqual(['load a', 'load b', 'release b']);
  });
});

describe('what lies beside the networks', () => {
  const beside = {
    bytes: 0,
    trim() {
      log.push(`trim ${beside.bytes}`);
      beside.bytes = Math.min(beside.bytes, 10);
    },
  };
  beforeEach(() => {
    beside.bytes = 0;
    residents = new Residents(100, beside);
  });

  it('is trimmed before a network is released, and networks are released for what stays', async () => {
    await acquire('a', 30);
    await acquire('b', 30);
    beside.bytes = 40;
    await acquire('b', 30, 30);
    expect(log.slice(2)).toEqual(['trim 40']);
    beside.bytes = 20;
    await acquire('c', 40);
    expect(log.slice(3)).toEqual(['trim 20', 'release a', 'load c']);
  });

  it('is left alone as long as everything fits', async () => {
    beside.bytes = 40;
    await acquire('a', 60);
    expect(residents.holds([{ need: { bytes: 60, working: 0 } }])).toBe(true);
    expect(residents.holds([{ need: { bytes: 60, working: 1 } }])).toBe(false);
    expect(log).toEqual(['load a']);
  });

  it('counts where a network does not fit, with its own number', async () => {
    beside.bytes = 40;
    await acquire('a', 90);
    expect(log).toEqual(['trim 40', 'load a']);
    const error = await failure(acquire('b', 91));
    expect(error.details).toEqual({ needed: 101, limit: 100 });
    expect(error.message).toContain('0.0 MiB of LoRAs');
  });
});

describe('a network that is too large even alone', () => {
  it('is refused with both numbers, and nothing is loaded or released for it', async () => {
    const MiB = 2 ** 20;
    residents = new Residents(1024 * MiB);
    await acquire('small', MiB);
    const error = await failure(acquire('large', 1024 * MiB, 512 * MiB));
    expect(error.code).toBe('notEnoughMemory');
    expect(error.message).toBe(
      'Not enough memory for the large: 1.50 GiB are needed (1.00 GiB of weights and 512.0 MiB to work in), ' +
        'and the engine may use 1.00 GiB. --memory-limit allows more.',
    );
    expect(error.details).toEqual({ needed: 1536 * MiB, limit: 1024 * MiB });
    expect(log).toEqual(['load small']);
  });

  it('names the precisions that would make its weights smaller, and no other', async () => {
    const adviceFor = async (device: 'cpu' | 'webgpu', precision: PrecisionName) => {
      const model = { compute: { precision, fused: true }, session: { device, threads: 1 } };
      const smaller = smallerWeights(model);
      const load = async function* () {
        yield { message: 'loading', fraction: 0 };
        return { async release() {} };
      };
      const network = { key: 'large', need: { bytes: 101, working: 0 }, smaller, load };
      const { message } = await failure(residents.acquire(network).next());
      return message.slice(message.indexOf('the engine may use')).replace(/^.*?\. /, '');
    };
    const f32 = 'Its weights take 4 bytes each, 1 for --precision int8 and 0.75 for --precision int4, ';
    const more = 'and --memory-limit allows more.';
    expect(await adviceFor('cpu', 'f32')).toBe(f32 + more);
    expect(await adviceFor('cpu', 'int8')).toBe(
      `Its weights take 1 bytes each, 0.75 for --precision int4, ${more}`,
    );
    expect(await adviceFor('cpu', 'int4')).toBe('--memory-limit allows more.');
    expect(await adviceFor('webgpu', 'f16')).toBe(
      `Its weights take 2 bytes each, 1.125 for --precision int8-blocks and 0.625 for --precision int4, ${more}`,
    );
    expect(await adviceFor('webgpu', 'int4')).toBe('--memory-limit allows more.');
  });

  it('is refused for its working memory as well, although its weights are there', async () => {
    await acquire('a', 50, 50);
    expect((await failure(acquire('a', 50, 51))).details).toEqual({ needed: 101, limit: 100 });
    expect(await acquire('a', 50, 50)).toBe('a');
    expect(log).toEqual(['load a']);
  });
});

it('a network whose loading fails is not kept, and is loaded again when asked for', async () => {
  const load = async function* () {
    yield { message: 'loading broken', fraction: 0 };
    throw new RetouchError('tensorMissing', 'no tensor');
  };
  const work = residents.acquire({ key: 'a', need: { bytes: 90, working: 0 }, load });
  await work.next();
  expect((await failure(work.next())).code).toBe('tensorMissing');
  expect(await acquire('a', 90)).toBe('a');
});

it('networks of these needs fit when their weights and the largest working memory do', () => {
  const needs = (working: number) => [{ need: { bytes: 40, working: 5 } }, { need: { bytes: 40, working } }];
  expect(residents.holds(needs(20))).toBe(true);
  expect(residents.holds(needs(21))).toBe(false);
});

it('working memory that a network keeps counts while another runs, and once while it runs itself', async () => {
  const a = { bytes: 30, working: 30, kept: 20 };
  expect(residents.holds([{ need: a }, { need: { bytes: 30, working: 20 } }])).toBe(true);
  expect(residents.holds([{ need: a }, { need: { bytes: 30, working: 21 } }])).toBe(false);
  const load = async function* () {
    yield { message: 'loading a', fraction: 0 };
    return { release: async () => void log.push('release a') };
  };
  const work = residents.acquire({ key: 'a', need: a, load });
  while (!(await work.next()).done);
  await acquire('b', 30, 20);
  expect(log).toEqual(['load b']);
  await acquire('b', 30, 21);
  expect(log).toEqual(['load b', 'release a']);
});
