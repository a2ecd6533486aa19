import type { ShiftConfig } from './types.ts';

/** The configuration that FLUX.1 [dev] and Kontext ship, for checkpoints that come without one. */
export const fluxShift: ShiftConfig = {
  use_dynamic_shifting: true,
  time_shift_type: 'exponential',
  shift: 3,
  base_shift: 0.5,
  max_shift: 1.15,
  base_image_seq_len: 256,
  max_image_seq_len: 4096,
};

/**
 * mu: larger images keep more of their time at high noise. Stable Diffusion 3 (arXiv 2403.03206) section 5.3.2, as
 * black-forest-labs/flux `sampling.py` `get_lin_function` has it.
 *
 * @param tokens the tokens of the target image alone; text and references do not count
 */
export function resolutionShift(tokens: number, config: ShiftConfig): number {
  if (!config.use_dynamic_shifting) return Math.log(config.shift);
  const { base_shift, max_shift, base_image_seq_len, max_image_seq_len } = config;
  const slope = (max_shift - base_shift) / (max_image_seq_len - base_image_seq_len);
  const mu = base_shift + (tokens - base_image_seq_len) * slope;
  return config.time_shift_type === 'linear' ? Math.log(mu) : mu;
}
