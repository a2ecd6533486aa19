/** Computing blocks in bands gives the results of computing all rows at once, to the bit. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ActiveLoras } from '../../src/engine/adapters/lora/active.ts';
import { layersOf } from '../../src/engine/adapters/lora/layers.ts';
import type { FluxConfig } from '../../src/engine/models/flux-config.ts';
import { blockSegments } from '../../src/engine/models/flux-segments.ts';
import { symbol } from '../../src/engine/onnx/dim.ts';
import { Graph } from '../../src/engine/onnx/graph.ts';
import * as op from '../../src/engine/onnx/operators/index.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import { type Feeds, f32Tensor, floats } from '../../src/engine/onnx/tensor.ts';
import type { Compute } from '../../src/engine/weights/weights.ts';
import { cutUpdates, loraTensors, randomUpdates } from '../fixtures/lora-files.ts';
import { loadFlux, prepareFile, tinyComponents, tinyFile, velocityOf } from '../fixtures/tiny-flux.ts';
import { writeSafetensors } from '../fixtures/write-safetensors.ts';
import { difference } from '../golden/compare.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-bands-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

async function velocity(compute: Partial<Compute>, updates?: Feeds): Promise<Float32Array> {
  const cache = path.join(folder, `${compute.precision ?? 'f32'}.safetensors`);
  const transformer = await loadFlux(tinyFile('flux_tiny.safetensors'), compute, cache);
  const found = await velocityOf(transformer, updates);
  await transformer.release();
  return found;
}

/** The tiny model has 5 tokens of text and 32 of the images: bands of 3 and 8 leave the last one partly empty. */
const bands = [1, 3, 8, 16, 64];

describe('the velocity in bands', () => {
  const variants: Partial<Compute>[] = [
    {},
    { fused: false },
    { precision: 'int8' },
    { precision: 'int8-blocks' },
    { precision: 'int4' },
    { places: ['attention', 'residual'] },
  ];
  it.each(variants)('is the same to the bit for %o', async (compute) => {
    const whole = await velocity(compute);
    for (const bandRows of bands) expect(await velocity({ ...compute, bandRows })).toEqual(whole);
  });

  it('is the same to the bit under a LoRA', async () => {
    const components = tinyComponents();
    const { checkpoint } = components.transformer.source;
    const updates = cutUpdates(randomUpdates(checkpoint, 2, 1, (layer) => layer.includes('_blocks.')));
    const file = path.join(folder, 'lora.safetensors');
    writeSafetensors(file, loraTensors(updates, { prefix: 'transformer.' }));
    const prepared = await prepareFile(file, layersOf(components), components);
    const feeds = new ActiveLoras([{ file, weight: 1, stage: 'both', prepared }]).transformer(0.5);
    const whole = await velocity({}, feeds);
    expect(whole).not.toEqual(await velocity({}));
    // A product of one row is another kernel's, which adds in another order.
    for (const bandRows of bands.slice(1)) expect(await velocity({ bandRows }, feeds)).toEqual(whole);
  });
});

describe('four-bit weights that are expanded to eight bits', () => {
  const precision = 'int4';

  it('give the same bits in bands of any height', async () => {
    const [first, ...others] = await Promise.all(
      bands.map((bandRows) => velocity({ precision, bandRows, expands: true })),
    );
    for (const other of others) expect(other).toEqual(first);
  });

  it('are as near to f32 as products in blocks of four bits', async () => {
    const exact = await velocity({});
    const blocks = difference(await velocity({ precision }), exact).relativeL2;
    const expanded = difference(await velocity({ precision, bandRows: 8, expands: true }), exact).relativeL2;
    expect(expanded).toBeLessThan(1.1 * blocks);
  });
});

it('a network in bands tells of every block on two threads, since a block takes seconds, and else of its segments', async () => {
  const told = async (compute: Partial<Compute>) => {
    const transformer = await loadFlux(tinyFile('flux_tiny.safetensors'), compute);
    const blocks: number[] = [];
    await velocityOf(transformer, undefined, async (done) => void blocks.push(done));
    await transformer.release();
    return blocks;
  };
  // Two double blocks and three single ones.
  expect(await told({})).toEqual([0, 1, 2]);
  expect(await told({ bandRows: 8 })).toEqual([0, 1, 2, 3, 4]);
});

it('segments have at most as many blocks as asked for, in the order of the model', () => {
  const flux = { depth: 19, depthSingle: 38 } as FluxConfig;
  for (const most of [1, 2, 4, 8, 16, 57, Number.POSITIVE_INFINITY]) {
    const segments = blockSegments(flux, most);
    expect(Math.max(...segments.map(({ blocks }) => blocks))).toBeLessThanOrEqual(most);
    expect(segments.reduce((sum, { blocks }) => sum + blocks, 0)).toBe(57);
    expect(new Set(segments.map(({ name }) => name)).size).toBe(segments.length);
    const blocks = (kind: 'doubles' | 'singles') =>
      segments.flatMap(({ [kind]: [from, to] }) => Array.from({ length: to - from }, (_, i) => from + i));
    expect(blocks('doubles')).toEqual(Array.from({ length: 19 }, (_, i) => i));
    expect(blocks('singles')).toEqual(Array.from({ length: 38 }, (_, i) => i));
    // A step cache enters after the first block and after the eighth.
    const upTo = (place: string) => {
      const end = segments.findIndex(({ ends }) => ends === place);
      return segments.slice(0, end + 1).reduce((sum, segment) => sum + segment.blocks, 0);
    };
    expect([upTo('first'), upTo('head')]).toEqual([1, 8]);
  }
  expect(blockSegments(flux).map(({ name }) => name)).toEqual(['first', 'head', 'rest']);
  expect(blockSegments(flux, 1).length).toBe(57);
});

it('bands are at most as high as asked for, of equal height, and in order', async () => {
  const graph = new Graph('rows');
  const x = graph.input('x', 'f32', [symbol('rows'), 2]);
  // The number of rows that the body sees, beside every value.
  const [marked] = op.byRows(4, [x], ([band]) => [
    op.concat([band!, op.mul(op.add(op.mul(band!, 0), 1), op.axisLength(band!, 0))], 1),
  ]);
  graph.output('out', marked!);
  const session = await Session.compile(graph, { device: 'cpu', threads: 1 });
  const result = async (rows: number) => {
    const values = Float32Array.from({ length: rows * 2 }, (_, i) => i);
    const { out } = await session.run({ x: f32Tensor(values, [rows, 2]) });
    return floats(out!);
  };
  // 10 rows are three bands of 4, the last with two rows of padding.
  const ten = await result(10);
  expect(ten.length).toBe(40);
  for (let row = 0; row < 10; row++)
    expect([...ten.subarray(4 * row, 4 * row + 4)]).toEqual([2 * row, 2 * row + 1, 4, 4]);
  expect([...(await result(5))].filter((_, i) => i % 4 === 3)).toEqual([3, 3, 3, 3, 3]);
  expect([...(await result(1))]).toEqual([0, 1, 1, 1]);
  await session.release();
});
