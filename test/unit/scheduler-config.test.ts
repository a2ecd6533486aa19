/** A pipeline's scheduler_config.json, with diffusers' defaults, and its refused settings. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readShift } from '../../src/engine/networks/scheduler-config.ts';
import { fluxShift, resolutionShift, sigmas } from '../../src/engine/sigmas/index.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-scheduler-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

function read(config: object) {
  const file = path.join(folder, 'scheduler_config.json');
  fs.writeFileSync(file, JSON.stringify(config));
  return readShift(file);
}
const levels = (config: object, tokens: number) => [
  ...sigmas.shifted.levels(4, resolutionShift(tokens, read(config))),
];
const rounded = (values: number[]) => values.map((value) => Number(value.toFixed(6)));
const name = { _class_name: 'FlowMatchEulerDiscreteScheduler' };

describe('a scheduler configuration', () => {
  it("of FLUX is FLUX's shift", () => {
    expect(
      read({
        ...name,
        ...fluxShift,
        num_train_timesteps: 1000,
        shift_terminal: null,
        use_karras_sigmas: false,
      }),
    ).toEqual(fluxShift);
  });

  it('that says nothing of dynamic shifting has its constant shift at every size, which is 1 by default', () => {
    for (const tokens of [256, 4096]) {
      expect(rounded(levels({ ...name, num_train_timesteps: 1000, shift: 3 }, tokens))).toEqual([
        1, 0.9, 0.75, 0.5, 0,
      ]);
      expect(rounded(levels({}, tokens))).toEqual([1, 0.75, 0.5, 0.25, 0]);
    }
  });

  it('of linear shifting has mu as the shift itself', () => {
    const shift = 1.15; // mu at 4096 tokens
    const expected = [1, 0.75, 0.5, 0.25].map((u) => shift / (shift + 1 / u - 1));
    const found = levels({ use_dynamic_shifting: true, time_shift_type: 'linear' }, 4096);
    expect(rounded(found)).toEqual(rounded([...expected, 0]));
  });

  it.each<[object, RegExp]>([
    [{ shift_terminal: 0.02 }, /shift_terminal is 0\.02, expected null/],
    [{ use_karras_sigmas: true }, /use_karras_sigmas is true/],
    [{ invert_sigmas: true }, /invert_sigmas is true/],
    [{ stochastic_sampling: true }, /stochastic_sampling is true/],
    [{ time_shift_type: 'cosine' }, /time_shift_type is "cosine", expected exponential or linear/],
    [{ shift: '3' }, /shift is "3", expected a number/],
    [{ use_dynamic_shifting: 'yes' }, /use_dynamic_shifting is "yes"/],
    [
      { _class_name: 'EulerDiscreteScheduler' },
      /_class_name is "EulerDiscreteScheduler", expected a FlowMatch scheduler/,
    ],
  ])('with a setting that is not computed is refused: %j', (config, message) => {
    expect(() => read(config)).toThrow(message);
  });
});
