/**
 * The networks on WebGPU in f32, computed as the engine would compute them on the device that is there: a GPU, or the
 * software device that `.ci/run` installs.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { selfTest } from '../../src/engine/onnx/self-test.ts';
import { type Line, type Lines, weightFiles } from './checks/check.ts';
import { checkFlux } from './checks/flux.ts';
import { GuidedTransformer } from './checks/ip-adapter.ts';
import { checkAutoencoder, checkClip, checkT5 } from './checks/networks.ts';
import { difference } from './compare.ts';
import { goldenFile } from './data.ts';
import { StoredFlux } from './stored-flux.ts';
import { blocks8, loop, webgpuBlock } from './tolerance.ts';

const required = process.env.TEST_WEBGPU === '1';
const device = await selfTest('webgpu');
const absent = device.report.length === 0;

const files = weightFiles(goldenFile(''));
const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-webgpu-')));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const setup = { device: 'webgpu', fused: device.fused, tolerance: webgpuBlock } as const;

async function linesOf(
  label: string,
  check: (file: string, io: string, label: string) => Lines,
): Promise<Line[]> {
  const { file, io } = files.find((candidate) => candidate.label === label)!;
  const lines: Line[] = [];
  for await (const line of check(file, io, label)) {
    lines.push(line);
    if (process.env.TEST_VERBOSE && 'relativeL2' in line) console.info(line.name, line.relativeL2);
  }
  return lines;
}

test.runIf(required || !absent)('a WebGPU device is there and its operators are right', () => {
  expect(device.reason).toBeUndefined();
  expect(device.ok).toBe(true);
});

describe.skipIf(absent)(`WebGPU in f32${absent ? ` is not tested: ${device.reason}` : ''}`, () => {
  test('every activation, output and loop of the transformer is the reference', {
    timeout: 300_000,
  }, async () => {
    const tolerance = { block: webgpuBlock, loop };
    const lines = await linesOf('flux_tiny', (...of) => checkFlux(...of, tolerance, setup));
    for (const line of lines) expect(line).toMatchObject({ pass: true });
    const names = lines.map((line) => line.name);
    for (const made of ['t2i', 'ref', 'ref2_offset', 'ref2_index'])
      for (const part of ['act.double.1.txt', 'act.single.2', 'act.final', 'out'])
        expect(names).toContain(`flux_tiny ${made}.${part}`);
    // Through the segments, whose results stay on the device.
    for (const run of ['loop.out', 'loop.true_cfg4.out', 'inpaint.out'])
      expect(names).toContainEqual(expect.stringContaining(`flux_tiny ${run}`));
  });

  test('the velocity under IP-Adapters of both layouts is the reference', { timeout: 300_000 }, async () => {
    const transformer = await GuidedTransformer.load(setup);
    const { clip, siglip } = transformer.pictures;
    const [one, other] = [
      await transformer.guidance('xlabs', clip, 0.7),
      await transformer.guidance('xlabs6', clip.slice(0, 1), -0.4),
    ];
    const all = await transformer.guidance('instantx', siglip, 0.6);
    for (const [name, guidance] of [
      ['plain', []],
      ['xlabs.two', [one, other]],
      ['instantx', [all]],
    ] as const)
      expect(transformer.compare(name, await transformer.velocity(guidance), webgpuBlock)).toMatchObject({
        pass: true,
      });
    await transformer.release();
  });

  // The network's ends stay eight-bit floats that are widened in the graph, its blocks become four bits.
  test('a checkpoint in eight-bit floats gives in four bits what it gives on the CPU', {
    timeout: 300_000,
  }, async () => {
    const flux = new StoredFlux(folder);
    const scaled = flux.writeScaled();
    const found = await flux.velocity(scaled, 'int4', setup);
    const { relativeL2 } = difference(found, await flux.velocity(scaled, 'int4'));
    if (process.env.TEST_VERBOSE) console.info('int4', relativeL2);
    expect(relativeL2).toBeLessThanOrEqual(blocks8);
  });

  test.each([
    ['ae_tiny', checkAutoencoder, ['act.enc.attn', 'act.dec.up1.us', 'latent', 'decoded']],
    ['ae_patch_tiny', checkAutoencoder, ['latent', 'decoded']],
    ['clip_tiny', checkClip, ['last_hidden_state', 'pooler_output']],
    ['t5_tiny', checkT5, ['last_hidden_state']],
  ] as const)('%s is the reference', { timeout: 300_000 }, async (label, check, expected) => {
    const lines = await linesOf(label, (...of) => check(...of, setup));
    for (const line of lines) expect(line).toMatchObject({ pass: true });
    const names = lines.map((line) => line.name);
    for (const name of expected) expect(names).toContain(`${label} ${name}`);
  });
});
