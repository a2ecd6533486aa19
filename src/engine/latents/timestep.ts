import { roundToBfloat16 } from '../random/bfloat16.ts';

/** Rounding of t and guidance before the sinusoid: none, or that of the bf16 pipelines of diffusers and BFL. */
export type TimestepRounding = 'none' | 'diffusers_bf16' | 'bfl_bf16';

/**
 * The input of the time embedding's sinusoid: 1000·σ, or the rounded value of the bf16 pipelines. The rounding moves the
 * image (t = 0.75 becomes 0.752), so it is a choice and never an accident.
 * diffusers: pipeline_flux_kontext.py casts the timesteps, divides by 1000, and transformer_flux.py multiplies again,
 * each in bf16. black-forest-labs/flux: sampling.py makes t_vec in bf16, layers.py multiplies by 1000.
 */
export function timestepInput(sigma: number, rounding: TimestepRounding): number {
  const bf16 = roundToBfloat16;
  switch (rounding) {
    case 'none':
      return 1000 * sigma;
    case 'diffusers_bf16':
      return bf16(bf16(bf16(1000 * Math.fround(sigma)) / 1000) * 1000);
    case 'bfl_bf16':
      return bf16(1000 * bf16(sigma));
  }
}

/** The same for the guidance scale: 2.5 is fed as 2500, or as 2496 by both bf16 pipelines. */
export function guidanceInput(guidance: number, rounding: TimestepRounding): number {
  return rounding === 'none' ? 1000 * guidance : roundToBfloat16(1000 * roundToBfloat16(guidance));
}
