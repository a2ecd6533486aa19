import { describe, expect, it } from 'vitest';
import { attention, queryBlocks } from '../../src/engine/nn/attention.ts';
import { symbol } from '../../src/engine/onnx/dim.ts';
import { Graph } from '../../src/engine/onnx/graph.ts';
import * as reference from '../../src/engine/onnx/self-test/reference.ts';
import { pattern, Values } from '../../src/engine/onnx/self-test/reference.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import { f32Tensor, floats } from '../../src/engine/onnx/tensor.ts';
import { difference } from '../golden/compare.ts';

const [heads, headWidth] = [3, 32];
const width = heads * headWidth;

type Bias = 'none' | 'heads' | 'causal';

function biasOf(bias: Bias, tokens: number): Values | undefined {
  if (bias === 'heads') return pattern([1, heads, tokens, tokens], 4);
  if (bias === 'none') return undefined;
  return Values.of([1, 1, tokens, tokens], (_, _head, s, t) => (t! > s! ? -1e9 : 0));
}

/** The same graph at two lengths: its number of blocks is fixed, their sizes are not. */
async function errors(bias: Bias, queryBlocks: number, lengths: number[]): Promise<number[]> {
  const graph = new Graph('attention');
  const s = symbol('s');
  const [q, k, v] = ['q', 'k', 'v'].map((name) => graph.input(name, 'f32', [s, width]));
  const axes = bias === 'none' ? undefined : [1, bias === 'heads' ? heads : 1, s, s];
  const added = axes && graph.input('bias', 'f32', axes);
  const compute = { precision: 'f32', fused: false, queryBlocks } as const;
  graph.output('out', attention(q!, k!, v!, heads, compute, undefined, added));
  const session = await Session.compile(graph, { device: 'cpu', threads: 1 });
  const found: number[] = [];
  for (const length of lengths) {
    const [a, b, c] = [1, 2, 3].map((seed) => pattern([1, length, width], seed)) as [Values, Values, Values];
    const extra = biasOf(bias, length);
    const feed = (x: Values, shape: number[]) => f32Tensor(Float32Array.from(x.data), shape);
    const { out } = await session.run({
      q: feed(a, [length, width]),
      k: feed(b, [length, width]),
      v: feed(c, [length, width]),
      ...(extra ? { bias: feed(extra, [...extra.shape]) } : {}),
    });
    const expected = reference.attention([a, b, c], heads, 1 / Math.sqrt(headWidth), extra);
    found.push(difference(floats(out!), Float32Array.from(expected.data)).relativeL2);
  }
  await session.release();
  return found;
}

describe('attention in blocks of queries', () => {
  it.each<[Bias, number]>([
    ['none', 1],
    ['none', 4],
    ['none', 29],
    ['heads', 7],
    ['causal', 5],
  ])('with bias %s in %i blocks is that in f64, whatever the number of tokens', async (bias, blocks) => {
    for (const error of await errors(bias, blocks, [197, 61])) expect(error).toBeLessThanOrEqual(1e-5);
  });

  it('keeps the scores of FLUX.1 and their softmax below 256 MiB in every size', () => {
    for (const tokens of [768, 2304, 4608, 8704, 21_000]) {
      const blocks = queryBlocks({ heads: 24, tokens });
      const rows = Math.ceil(tokens / blocks);
      expect(2 * 4 * 24 * rows * tokens).toBeLessThanOrEqual(256 * 2 ** 20);
      // Blocks of fewer rows than a kernel's tile would waste it.
      expect(rows).toBeGreaterThanOrEqual(64);
    }
    expect(queryBlocks({ heads: 8, tokens: 152 })).toBe(1);
    expect(queryBlocks({ heads: 24, tokens: 8704 })).toBe(55);
    // A sixty-fourth of 4 GiB.
    expect(queryBlocks({ heads: 24, tokens: 8704 }, 4 * 2 ** 30)).toBe(109);
  });
});
