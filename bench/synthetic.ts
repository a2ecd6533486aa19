/** Checkpoints of any size with random weights: a network's cost does not depend on its weights' values. */
import fs from 'node:fs';
import type { FluxConfig } from '../src/engine/models/flux-config.ts';

/** Real widths of FLUX.1 with the given depth. */
export function realWidth(depth: number, depthSingle: number): FluxConfig {
  return {
    inChannels: 64,
    outChannels: 64,
    vecIn: 768,
    contextIn: 4096,
    hidden: 3072,
    heads: 24,
    mlp: 12288,
    depth,
    depthSingle,
    axes: [16, 56, 56],
    theta: 10000,
    guidance: true,
    qkvBias: true,
  };
}

/** Tensor shapes of a FLUX transformer in BFL's names. */
export function fluxShapes(c: FluxConfig): Map<string, number[]> {
  const shapes = new Map<string, number[]>();
  const linear = (name: string, inputs: number, outputs: number) => {
    shapes.set(`${name}.weight`, [outputs, inputs]);
    shapes.set(`${name}.bias`, [outputs]);
  };
  const norm = (name: string) => {
    for (const part of ['query_norm', 'key_norm']) shapes.set(`${name}.${part}.scale`, [c.hidden / c.heads]);
  };
  linear('img_in', c.inChannels, c.hidden);
  linear('txt_in', c.contextIn, c.hidden);
  const embedders: [string, number][] = [
    ['time_in', 256],
    ['guidance_in', 256],
    ['vector_in', c.vecIn],
  ];
  for (const [name, width] of embedders) {
    linear(`${name}.in_layer`, width, c.hidden);
    linear(`${name}.out_layer`, c.hidden, c.hidden);
  }
  for (let i = 0; i < c.depth; i++)
    for (const s of ['img', 'txt']) {
      const block = `double_blocks.${i}.${s}`;
      linear(`${block}_mod.lin`, c.hidden, 6 * c.hidden);
      linear(`${block}_attn.qkv`, c.hidden, 3 * c.hidden);
      norm(`${block}_attn.norm`);
      linear(`${block}_attn.proj`, c.hidden, c.hidden);
      linear(`${block}_mlp.0`, c.hidden, c.mlp);
      linear(`${block}_mlp.2`, c.mlp, c.hidden);
    }
  for (let i = 0; i < c.depthSingle; i++) {
    const block = `single_blocks.${i}`;
    linear(`${block}.modulation.lin`, c.hidden, 3 * c.hidden);
    linear(`${block}.linear1`, c.hidden, 3 * c.hidden + c.mlp);
    norm(`${block}.norm`);
    linear(`${block}.linear2`, c.hidden + c.mlp, c.hidden);
  }
  linear('final_layer.adaLN_modulation.1', c.hidden, 2 * c.hidden);
  linear('final_layer.linear', c.hidden, c.outChannels);
  return shapes;
}

/**
 * Writes F32 tensors of about unit gain: uniform in ±√(3/K), repeated from one block of random numbers. Each begins at
 * another place of it: of equal tensors a runtime may keep one copy, and their memory would be counted too low.
 */
export function writeSynthetic(file: string, shapes: Map<string, number[]>): void {
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, shape] of shapes) {
    const bytes = 4 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: 'F32', shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(padded.length));
  const fd = fs.openSync(file, 'w');
  fs.writeSync(fd, prefix);
  fs.writeSync(fd, padded);
  const random = Float32Array.from({ length: (1 << 20) + 7 }, lcg(1));
  for (const [i, shape] of [...shapes.values()].entries()) {
    const gain = shape.length === 1 ? 0.1 : Math.sqrt(3 / shape[1]!);
    const block = Buffer.from(random.map((value) => value * gain).buffer);
    let left = 4 * shape.reduce((a, b) => a * b, 1);
    for (let from = 4 * 1009 * i; left > 0; from = 0)
      left -= fs.writeSync(fd, block, from, Math.min(left, block.length - from));
  }
  fs.closeSync(fd);
}

function lcg(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}
