/** Activation functions by the names configurations know them by (transformers ACT2FN, diffusers `get_activation`). */
import { EngineError } from '../errors.ts';
import type { Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';

const activations = {
  gelu: (x: Var) => op.gelu(x, 'none'),
  gelu_new: (x: Var) => op.gelu(x, 'tanh'),
  gelu_pytorch_tanh: (x: Var) => op.gelu(x, 'tanh'),
  quick_gelu: op.quickGelu,
  relu: op.relu,
  silu: op.silu,
  swish: op.silu,
} satisfies Record<string, (x: Var) => Var>;

export type Activation = keyof typeof activations;

export function activate(x: Var, name: Activation): Var {
  return activations[name](x);
}

/** @param where the configuration's path, for the error */
export function activationNamed(name: string, where: string): Activation {
  if (Object.hasOwn(activations, name)) return name as Activation;
  const known = Object.keys(activations).join(', ');
  throw new EngineError(
    'modelConfigInvalid',
    `${where}: activation "${name}" is not known; known are ${known}`,
    { path: where, name },
  );
}
