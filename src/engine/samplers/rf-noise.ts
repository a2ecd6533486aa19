/**
 * Fresh noise on a rectified flow. A sample at level σ is (1-σ)·image + σ·noise: unlike in k-diffusion's variance
 * exploding form the image shrinks as noise grows, so a sample taken down to level d must be scaled as well as noised to
 * stand at t. Adding noise by the other rule gives images of the wrong contrast, the more the more steps.
 * ComfyUI `sample_euler_ancestral_RF`.
 */
export type Renoising = {
  /** The level to come down to before noise is added. */
  down: number;
  scale: number;
  noise: number;
};

/** From a sample at level `down` to one at level t ≥ down: scale·x + noise·z. */
export function renoise(down: number, t: number): Renoising {
  const scale = (1 - t) / (1 - down);
  return { down, scale, noise: Math.sqrt(Math.max(t * t - (down * scale) ** 2, 0)) };
}

/** The ancestral split of a step from s to t; eta 0 adds no noise, 1 all that is usual. */
export function ancestral(s: number, t: number, eta = 1): Renoising {
  return renoise(t * (1 + (t / s - 1) * eta), t);
}
