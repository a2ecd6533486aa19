import { describe, expect, it } from 'vitest';
import type { FluxConfig } from '../../src/engine/models/flux-config.ts';
import { choosePrecision } from '../../src/engine/networks/precision.ts';
import type { Numerics } from '../../src/engine/plan.ts';

const numerics: Numerics = {
  device: 'cpu',
  precision: 'auto',
  timestepRounding: 'none',
  noise: 'f32',
  referenceIds: 'offset',
};
const width = (hidden: number) => ({ hidden }) as FluxConfig;
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

  it('is f16 on a device that has it', () => {
    const gpu = { ...numerics, device: 'webgpu' } as const;
    expect(choosePrecision(gpu, width(192), { ...none, half: true })).toBe('f16');
    expect(choosePrecision(gpu, width(192), { ...none, widened: true })).toBe('f16');
    expect(choosePrecision(gpu, width(192), none)).toBe('f32');
  });

  it('is what was asked for, or an error that names what there is', () => {
    expect(choosePrecision({ ...numerics, precision: 'f32' }, width(3072), cpu)).toBe('f32');
    expect(() => choosePrecision({ ...numerics, precision: 'f16' }, width(3072), cpu)).toThrow(
      'f16 is not computed on cpu here, or not rightly; available: f32, int8, int8-blocks, int4',
    );
  });
});
