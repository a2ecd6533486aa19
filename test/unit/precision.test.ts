import { describe, expect, it } from 'vitest';
import { type Candidates, choosePrecision } from '../../src/engine/networks/precision.ts';
import type { Numerics } from '../../src/engine/plan.ts';

const numerics: Numerics = {
  device: 'cpu',
  precision: 'auto',
  timestepRounding: 'none',
  noise: 'f32',
  referenceIds: 'offset',
};
const width = (hidden: number, changes: Partial<Candidates> = {}): Candidates => ({
  ...{ hidden, fits: () => true, times: {} },
  ...changes,
});
const none = { half: false, widened: false, int8: false, blocks8: false, blocks4: false };
const cpu = { ...none, int8: true, blocks8: true, blocks4: true };

describe('the precision of a model', () => {
  it('is int8 for wide models on the CPU, and f32 for narrow ones', () => {
    expect(choosePrecision(numerics, width(3072), cpu)).toBe('int8');
    expect(choosePrecision(numerics, width(192), cpu)).toBe('f32');
  });

  it('is f32 where eight bits failed the self-test', () => {
    expect(choosePrecision(numerics, width(3072), none)).toBe('f32');
  });

  describe('on a GPU', () => {
    const gpu = { ...numerics, device: 'webgpu' } as const;
    const all = { ...none, widened: true, blocks8: true, blocks4: true };
    const times = { f32: 40, f16: 42, 'int8-blocks': 60, int4: 20 };
    const choose = (changes: Partial<Candidates>, able = all) =>
      choosePrecision(gpu, width(3072, { times, ...changes }), able);

    it('is the fastest that fits, and the more exact of two that are as fast', () => {
      expect(choose({})).toBe('f32');
      expect(choose({ times: { ...times, f16: 20 } })).toBe('f16');
      expect(choose({ times: { ...times, 'int8-blocks': 20 } })).toBe('int8-blocks');
    });

    it('is f32 for narrow models, which gain nothing by another', () => {
      expect(choose({ hidden: 256, times: { ...times, 'int8-blocks': 1 } })).toBe('f32');
      expect(choose({ hidden: 256, fits: (name) => name !== 'f32' })).toBe('f16');
    });

    it('is a smaller one where memory is short, and int4 only where nothing else fits', () => {
      expect(choose({ fits: (name) => name !== 'f32' })).toBe('f16');
      expect(choose({ fits: (name) => name.startsWith('int') })).toBe('int8-blocks');
      expect(choose({ fits: (name) => name === 'int4' })).toBe('int4');
      expect(choose({ fits: () => false })).toBe('int4');
    });

    it('is never one that the self-test found wrong', () => {
      expect(choose({ fits: (name) => name !== 'f32' }, { ...all, widened: false })).toBe('int8-blocks');
      expect(choose({ fits: () => false }, none)).toBe('f32');
      expect(choose({ times: { f16: 1 } }, { ...none, half: true })).toBe('f16');
    });
  });

  it('is what was asked for, or an error that names what there is', () => {
    expect(choosePrecision({ ...numerics, precision: 'f32' }, width(3072), cpu)).toBe('f32');
    expect(() => choosePrecision({ ...numerics, precision: 'f16' }, width(3072), cpu)).toThrow(
      'f16 is not computed on cpu here, or not rightly; available: f32, int8, int8-blocks, int4',
    );
  });
});
