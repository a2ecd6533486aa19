import { expect, it } from 'vitest';
import { TimeLimit } from '../../bench/device-parts.ts';

const part = {
  of: 'attention',
  device: 'cpu',
  threads: 1,
  compute: { precision: 'f32', fused: true },
  work: { text: 3, rows: 1, columns: 2 },
  runs: 2,
} as const;

it('the device benchmark measures a part in a process of its own, with the memory that it takes', async () => {
  const measured = await new TimeLimit(10).measure(part, 0);
  expect(measured).toMatchObject({ milliseconds: expect.any(Number) });
  if (process.platform === 'linux') expect(measured).toMatchObject({ memory: expect.any(Number) });
});

it('it leaves out a part that would not end in time, and says how long that would take', async () => {
  expect(await new TimeLimit(1).measure(part, 90_000)).toEqual({ missing: 'left out: about 90 s' });
});

it('it ends a part that takes longer than predicted', async () => {
  expect(await new TimeLimit(1e-4).measure(part, 0)).toEqual({
    missing: expect.stringMatching(/^ended with SIGKILL after \d+ s$/),
  });
});

it('it goes on behind a part that ends its process', async () => {
  const runs = { ...part, work: { ...part.work, text: -9 } };
  expect(await new TimeLimit(10).measure(runs, 0)).toMatchObject({
    missing: expect.stringMatching(/^ended with exit code 1 after \d+ s$/),
  });
});
