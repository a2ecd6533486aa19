/**
 * A linear reader of CLIP's pooled vector that tells whether a prompt asks for anything the model knows. The embedded
 * model, whose world is small, stores one beside CLIP's weights; published checkpoints have none.
 */
import type { WeightSource } from '../weights/source.ts';

export type InstructionHead = { weight: Float32Array; bias: number };

/** @throws RetouchError `tensorMissing` when only one of the two tensors is there */
export function instructionHead(source: WeightSource): InstructionHead | undefined {
  const [weight, bias] = ['instruction_head.weight', 'instruction_head.bias'] as const;
  if (!source.hasAny(weight, bias)) return undefined;
  return { weight: source.floats(weight), bias: source.floats(bias)[0]! };
}

/** @param pooled [1, D] */
export function isRecognised({ weight, bias }: InstructionHead, pooled: Float32Array): boolean {
  return weight.reduce((sum, value, i) => sum + value * pooled[i]!, bias) > 0;
}
