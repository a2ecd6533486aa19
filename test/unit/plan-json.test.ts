import { describe, expect, it } from 'vitest';
import type { Plan } from '../../src/engine/plan.ts';
import { readPlan, writePlan } from '../../src/tasks/plan/plan-json.ts';
import { scriptedPlan } from '../fixtures/plans.ts';

function roundTrip(plan: object): unknown {
  const files: Uint8Array[] = [];
  const text = writePlan(plan, files);
  return readPlan(
    text,
    files.map((bytes) => new Uint8Array(bytes)),
  );
}

describe('a plan as text', () => {
  it('comes back as it was', () => {
    const plan: Plan = scriptedPlan('a b', { references: [Uint8Array.of(1, 2), new Uint8Array()] });
    expect(roundTrip(plan)).toEqual(plan);
  });

  it('keeps what a later plan may hold, wherever it is', () => {
    const plan = {
      nested: [{ deep: { bytes: new Uint8Array(3), big: -(2n ** 70n) } }, [[Uint8Array.of(9)]]],
      numbers: [0, -0, 1.5, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 2 ** 53],
      text: '$file {"$bigint":"1"} \u2028 é',
      nothing: null,
      off: false,
    };
    expect(roundTrip(plan)).toStrictEqual(plan);
  });

  it('leaves out what is undefined, and empty objects stay', () => {
    expect(roundTrip({ a: undefined, b: {}, c: [] })).toStrictEqual({ b: {}, c: [] });
  });

  it('takes byte arrays that occur more than once, and in several plans, once', () => {
    const shared = Uint8Array.of(1);
    const files: Uint8Array[] = [];
    writePlan({ a: shared, b: [shared] }, files);
    writePlan({ c: [Uint8Array.of(1), shared] }, files);
    expect(files).toHaveLength(2);
  });

  it.each([
    ['a function', () => {}],
    ['a Map', new Map()],
    ['a Float32Array', new Float32Array(2)],
    ['a Date', new Date(0)],
  ])('refuses %s rather than losing it', (_, value) => {
    expect(() => writePlan({ value }, [])).toThrow('cannot be stored');
  });
});
