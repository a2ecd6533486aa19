/** Bytes read from a checkpoint in blocks to list its layers, and files left by a preparation that was killed. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { fluxConfig } from '../../src/engine/models/flux-config.ts';
import { segmentBuilder, segmentNames } from '../../src/engine/models/flux-segments.ts';
import { t5Config, t5Graph } from '../../src/engine/models/t5.ts';
import { encodeModel } from '../../src/engine/onnx/model-proto.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { fluxDialects } from '../../src/engine/weights/dialects/flux.ts';
import { t5Dialects } from '../../src/engine/weights/dialects/t5.ts';
import { blockTypes } from '../../src/engine/weights/ggml-blocks.ts';
import { openPrepared } from '../../src/engine/weights/prepared.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import type { Compute } from '../../src/engine/weights/weights.ts';
import { bytesRead } from '../fixtures/file-reads.ts';
import { finish } from '../fixtures/preparing.ts';
import { type GgufTensor, ggmlTypes, writeGguf } from '../fixtures/write-gguf.ts';
import { StoredFlux } from '../golden/stored-flux.ts';

const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-listing-')));
afterAll(() => fs.rmSync(folder, { recursive: true }));
const flux = new StoredFlux(folder);
const compute: Compute = { precision: 'f32', fused: true };

function transformerGraphs(checkpoint: Checkpoint) {
  const source = new WeightSource(checkpoint, fluxDialects);
  const config = fluxConfig(source);
  return segmentNames(config).map((name) => segmentBuilder(source, config)(name, compute));
}

/** A T5 with llama.cpp's names, in which every tensor, norms included, is Q8_0 if its rows allow it. */
function writeT5(file: string): Checkpoint {
  const [width, mlp, heads] = [256, 512, 4];
  const q8 = (...shape: number[]): GgufTensor => {
    const count = shape.reduce((product, size) => product * size, 1);
    return { type: ggmlTypes.Q8_0, shape, bytes: new Uint8Array((count / 32) * 34) };
  };
  const block = (n: number): Record<string, GgufTensor> => ({
    [`enc.blk.${n}.attn_norm.weight`]: q8(width),
    [`enc.blk.${n}.ffn_norm.weight`]: q8(width),
    ...Object.fromEntries(
      ['q', 'k', 'v', 'o'].map((name) => [`enc.blk.${n}.attn_${name}.weight`, q8(width, width)]),
    ),
    [`enc.blk.${n}.ffn_gate.weight`]: q8(mlp, width),
    [`enc.blk.${n}.ffn_up.weight`]: q8(mlp, width),
    [`enc.blk.${n}.ffn_down.weight`]: q8(width, mlp),
  });
  writeGguf(file, {
    'token_embd.weight': q8(64, width),
    'enc.output_norm.weight': q8(width),
    'enc.blk.0.attn_rel_b.weight': {
      type: ggmlTypes.F32,
      shape: [32, heads],
      bytes: new Uint8Array(32 * heads * 4),
    },
    ...block(0),
    ...block(1),
  });
  return openCheckpoint(file);
}

describe('listing the layers of a GGUF file', () => {
  it.each(Object.keys(blockTypes) as (keyof typeof blockTypes)[])(
    'reads no weight of a transformer in %s, and keeps none',
    async (type) => {
      const checkpoint = flux.writeBlocks(type);
      let layers = 0;
      const before = process.memoryUsage().arrayBuffers;
      const read = await bytesRead(() => {
        layers = transformerGraphs(checkpoint).flatMap((graph) => graph.linears).length;
      });
      expect(layers).toBeGreaterThan(30);
      expect([...read]).toEqual([]);
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
    },
  );

  it('reads no weight of a T5 whose norms are in blocks too, and the numbers are in the graph once it is encoded', async () => {
    const checkpoint = writeT5(path.join(folder, 't5.gguf'));
    const source = new WeightSource(checkpoint, t5Dialects);
    let graph: ReturnType<typeof t5Graph> | undefined;
    const listed = await bytesRead(() => {
      graph = t5Graph(source, t5Config(source), compute);
    });
    expect([...listed]).toEqual([]);
    const encoded = await bytesRead(() => encodeModel(graph!, folder));
    expect(encoded.get(checkpoint.path)).toBeGreaterThan(2 * 7 * 256 * 256);
  });
});

describe('preparing weights', () => {
  const linears = (checkpoint: Checkpoint) => transformerGraphs(checkpoint).flatMap((graph) => graph.linears);
  const prepare = async (checkpoint: Checkpoint, file: string) => {
    const source = new WeightSource(checkpoint, fluxDialects);
    await finish(openPrepared(source, linears(checkpoint), { precision: 'int8', file }));
  };

  it('reads a checkpoint once, and one that is prepared not at all', async () => {
    const checkpoint = flux.writeBlocks('Q4_K');
    const file = path.join(folder, 'once', 'transformer-int8.safetensors');
    const first = await bytesRead(() => prepare(checkpoint, file));
    expect(first.get(checkpoint.path)).toBeLessThanOrEqual(checkpoint.bytes);
    const second = await bytesRead(() => prepare(checkpoint, file));
    expect(second.get(checkpoint.path) ?? 0).toBe(0);
  });

  it('removes the partial files of processes that ended, and of other machines when they grow no more', async () => {
    const checkpoint = flux.writeBlocks('Q8_0');
    const own = path.join(folder, 'killed');
    const file = path.join(own, 'transformer-int8.safetensors');
    fs.mkdirSync(own);
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    const host = os.hostname().replaceAll(/[^\w]/g, '');
    const partial = (name: string, minutes = 0) => {
      const path_ = path.join(own, name);
      fs.writeFileSync(path_, 'part');
      const time = Date.now() / 1000 - 60 * minutes;
      fs.utimesSync(path_, time, time);
    };
    partial(`t5-int8.safetensors.${pid}.partial`);
    partial(`t5-int8.safetensors.${host}-${pid}-1.partial`);
    partial(`t5-int4.safetensors.${host}-${process.pid}-7.partial`, 60);
    partial('t5-int4.safetensors.elsewhere-1-1.partial', 60);
    const live = [
      `t5-int8.safetensors.${host}-${process.ppid}-1.partial`,
      't5-int8.safetensors.elsewhere-1-1.partial',
    ];
    for (const name of live) partial(name);
    await prepare(checkpoint, file);
    expect(fs.readdirSync(own).sort()).toEqual([path.basename(file), ...live].sort());
    // A model that is prepared already is swept too.
    partial(`t5-int8.safetensors.${pid}.partial`);
    await prepare(checkpoint, file);
    expect(fs.readdirSync(own).sort()).toEqual([path.basename(file), ...live].sort());
  });
});
