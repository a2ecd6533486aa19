/** The arithmetic of step caches on an image's tokens [L, D]: graphs without weights. */

import { modulatedNorm } from '../nn/norm.ts';
import { symbol } from '../onnx/dim.ts';
import { Graph, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import { splitModulation } from './flux.ts';
import type { FluxConfig } from './flux-config.ts';

export type CacheGraphName = 'modulated' | 'difference' | 'sum' | 'distance' | 'target';

export const cacheGraphNames: readonly CacheGraphName[] = [
  'modulated',
  'difference',
  'sum',
  'distance',
  'target',
];

export function cacheGraph(name: CacheGraphName, config: FluxConfig): Graph {
  const graph = new Graph(`cache.${name}`);
  const tokens = (input: string) => graph.input(input, 'f32', [symbol('img'), config.hidden]);
  const a = tokens('a');
  if (name === 'modulated') {
    // The input of the first block's attention: LN(img)·(1 + scale) + shift.
    const [shift, scale] = splitModulation(graph.input('img_mod', 'f32', [1, 6 * config.hidden]), config);
    graph.output('out', modulatedNorm(a, shift!, scale!));
  } else if (name === 'difference') graph.output('out', op.sub(a, tokens('b')));
  else if (name === 'target')
    graph.output('out', op.takeRows(a, graph.input('rows', 'i64', [1]), symbol('target')));
  else if (name === 'sum') graph.output('out', op.add(a, tokens('b')));
  else {
    const b = tokens('b');
    graph.output('change', meanMagnitude(op.sub(a, b)));
    graph.output('size', meanMagnitude(b));
  }
  return graph;
}

/** mean|x|, [1, 1]. */
function meanMagnitude(x: Var): Var {
  return op.reduce('ReduceMean', op.reduce('ReduceMean', op.abs(x), 1), 0);
}
