/** Predicted bytes of a transformer on WebGPU against buffers that were counted on a device (docs/performance.md). */
import { expect, it } from 'vitest';
import { fluxShapes, realWidth } from '../../bench/synthetic.ts';
import { transformerBytes } from '../../src/engine/models/flux-memory.ts';
import { bytesPerWeight } from '../../src/engine/networks/precision.ts';
import { queryBlocks } from '../../src/engine/nn/attention.ts';
import type { DeviceName } from '../../src/engine/plan.ts';

const config = realWidth(1, 2);

/** MiB of a double and two single blocks of FLUX.1's width in int4, with attention in plain operators. */
function predicted(device: DeviceName, tokens: number, waits = false): number {
  const counts = [...fluxShapes(config).values()].map((shape) => shape.reduce((a, b) => a * b));
  const weights = counts.reduce((a, b) => a + b) * bytesPerWeight('int4', device, false);
  const compute = {
    precision: 'int4',
    fused: false,
    waits,
    queryBlocks: queryBlocks({ heads: config.heads, tokens }),
  } as const;
  const work = { device, tokens, imagePromptTokens: 0, cachedPasses: 0, keptReferences: 0 };
  return (weights + transformerBytes(config, compute, work)) / 2 ** 20;
}

it('buffers of an edit of one megapixel in one graph are predicted within 5 % on WebGPU, wide tensors of two blocks among them', () => {
  const counted = 6434;
  expect(Math.abs(predicted('webgpu', 8704) / counted - 1)).toBeLessThan(0.05);
});

it('a host that waits for each block has the wide tensors of one in memory', () => {
  const [waiting, other] = [predicted('webgpu', 8704, true), predicted('cuda', 8704)];
  expect(Math.round(waiting - other)).toBe(Math.round((4 * 8704 * (2 * 3072 + 2 * 12_288)) / 2 ** 20));
});

it('tensors of up to 160 MiB are those of one block, as on other devices, whose runtimes reuse all buffers', () => {
  expect(Math.round(predicted('webgpu', 1536))).toBe(1274);
  const [wide, other] = [predicted('webgpu', 8704), predicted('cuda', 8704)];
  expect(Math.round(wide - other)).toBe(Math.round((4 * 8704 * (3 * 3072 + 6 * 12_288)) / 2 ** 20));
});
