/**
 * A spacing: the noise levels of one image, from 1 (noise) to 0 (image).
 *
 * @param steps the number of steps, ≥ 1
 * @param mu the logarithm of the shift, from `resolutionShift`
 * @returns steps + 1 levels, falling, the last 0
 */
export type Sigmas = (steps: number, mu: number) => Float64Array;

/** A level between max and min: max at r = 0, min at r = 1. */
export type Curve = (r: number, max: number, min: number) => number;

/** The numbers of a checkpoint's `scheduler/scheduler_config.json` that decide the shift, under its own names. */
export type ShiftConfig = {
  use_dynamic_shifting: boolean;
  /** Whether mu is the shift itself or its logarithm, where the shift is dynamic. */
  time_shift_type: 'exponential' | 'linear';
  /** The factor when the shift is not dynamic; FLUX.1 [schnell] has 1. */
  shift: number;
  base_shift: number;
  max_shift: number;
  base_image_seq_len: number;
  max_image_seq_len: number;
};
