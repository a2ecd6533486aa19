/**
 * The stages in which LoRAs act. Two-stage models have one transformer for high and one for low noise; FLUX has one
 * transformer, and the stages are split at the level at which Wan 2.2 switches experts (its `boundary_ratio`, 0.875).
 */

const loraStages = ['high', 'low', 'both'] as const;
export type LoraStage = (typeof loraStages)[number];

/** The lowest noise level of the high-noise stage. */
const stageBoundary = 0.875;

/** The stage of an evaluation at noise level `sigma`. */
export function stageAt(sigma: number): Exclude<LoraStage, 'both'> {
  return sigma >= stageBoundary ? 'high' : 'low';
}

/**
 * The LoRAs that are active at noise level `sigma`. A step cache must compare this set: a change makes the network a
 * different one and invalidates the cache. The set changes at most once in a run, at `stageBoundary`, and only if a LoRA
 * is limited to one stage.
 */
export function activeAt<L extends { stage: LoraStage }>(loras: readonly L[], sigma: number): L[] {
  const stage = stageAt(sigma);
  return loras.filter((lora) => lora.stage === 'both' || lora.stage === stage);
}
