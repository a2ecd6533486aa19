/** Memory of kept references; test/golden/kept-references.test.ts holds what they compute. */
import { expect, it } from 'vitest';
import { fluxConfig } from '../../src/engine/models/flux-config.ts';
import { segmentBuilder, segmentNames } from '../../src/engine/models/flux-segments.ts';
import { referenceName } from '../../src/engine/nn/kept-references.ts';
import type { Graph } from '../../src/engine/onnx/graph.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { fluxDialects } from '../../src/engine/weights/dialects/flux.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { goldenFile } from '../golden/data.ts';

const source = new WeightSource(openCheckpoint(goldenFile('flux_tiny.safetensors')), fluxDialects);
const config = fluxConfig(source);
const build = segmentBuilder(source, config);
const graphs = segmentNames(config).map((name) =>
  build(name, { precision: 'f32', fused: true, keepsReferences: true }),
);

/** Names of all values that the image's tokens after the segment are computed from. */
function ancestorsOfImage({ nodes }: Graph): Set<string> {
  const producers = new Map(nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const found = new Set<string>();
  const open = ['img'];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (found.has(name)) continue;
    found.add(name);
    open.push(...(producers.get(name)?.inputs ?? []));
  }
  return found;
}

it('the image depends on all that is kept, so that no block’s keys and values stay in f32 until the last block', () => {
  let kept = 0;
  for (const graph of graphs) {
    const ancestors = ancestorsOfImage(graph);
    for (const { op, inputs, outputs } of graph.nodes) {
      if (op !== 'Identity' || referenceName.keptOf(outputs[0]!) === undefined) continue;
      kept++;
      expect(ancestors, outputs[0]).toContain(inputs[0]);
    }
  }
  expect(kept).toBe(2 * (config.depth + config.depthSingle));
});
