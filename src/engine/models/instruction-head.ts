/**
 * A linear reader of CLIP's pooled vector that tells whether a prompt asks for anything the model knows. The embedded
 * model, whose world is small, stores one beside CLIP's weights; published checkpoints have none.
 */
import type { WeightSource } from '../weights/source.ts';

export type InstructionHead = { weight: Float32Array; bias: number };

/**
 * @param source CLIP's checkpoint
 * @param hidden D, CLIP's channels
 * @throws RetouchError `tensorMissing` when only one of the two tensors is there, `tensorMisshapen` unless they are [1, D]
 * and [1]
 */
export function instructionHead(source: WeightSource, hidden: number): InstructionHead | undefined {
  const shapes = { 'instruction_head.weight': [1, hidden], 'instruction_head.bias': [1] };
  if (!source.hasAny(...Object.keys(shapes))) return undefined;
  const [weight, bias] = Object.entries(shapes).map(([name, expected]) => {
    const found = source.shape(name);
    if (String(found) !== String(expected)) throw source.misshapen(name, found, expected);
    return source.floats(name);
  });
  return { weight: weight!, bias: bias![0]! };
}

/** @param pooled [1, D] */
export function isRecognised({ weight, bias }: InstructionHead, pooled: Float32Array): boolean {
  return weight.reduce((sum, value, i) => sum + value * pooled[i]!, bias) > 0;
}
