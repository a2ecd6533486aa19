/**
 * One evaluation of the network.
 *
 * @param x the sample, packed tokens, f32; not kept and not written to
 * @param sigma its noise level, 0 < sigma ≤ 1
 * @returns the velocity v = noise - image, as long as x. With it the image is x - sigma·v and the noise x + (1-sigma)·v
 */
export type Velocity = (x: Float32Array, sigma: number) => Promise<Float32Array>;

export type Step = {
  /** 0 for the first step. */
  index: number;
  /** The noise level x has reached: sigmas[index + 1]. */
  sigma: number;
  /** The sample after the step. The consumer of the steps may replace it (inpainting does). */
  x: Float32Array;
};

type Schedule = {
  /** Levels from the first to the last, falling. */
  sigmas: Float64Array;
  /** Fresh standard normal noise of x's length, continuing the image's random stream. */
  noise: () => Float32Array;
};

/**
 * A sampler takes x from sigmas[0] down to the last level and yields after every step, whatever number of evaluations
 * the step took; progress, previews, cancellation and blending belong to the caller. It must go on from `step.x`, and
 * must not write into arrays that it yielded or was given.
 *
 * Samples are f32, scalars f64.
 */
export type Sampler = (
  velocity: Velocity,
  x: Float32Array,
  schedule: Schedule,
) => AsyncGenerator<Step, void, void>;

export type SamplerEntry = {
  run: Sampler;
  /** The method, in a few words. */
  title: string;
  /** The formula's order as its authors state it; an arrow where the first steps have less. */
  order: string;
  /**
   * The power of the step length with which a run's error falls, of the spread of its samples where it draws noise. The
   * contract test measures it: it is less than the order where the first steps have less, and more where a corrector
   * adds one; 0 does not converge to the model's distribution at all.
   */
  converges: number;
  /** Evaluations of the network in a run of so many steps. */
  evaluations: (steps: number) => number;
  /** Whether it draws noise after the first. */
  stochastic: boolean;
  /** Whether it was made for distilled models and blurs the images of others. */
  distilled: boolean;
};
