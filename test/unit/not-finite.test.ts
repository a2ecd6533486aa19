/** NaN and infinities in weights end in an error that names the network or the tensor, and in no picture. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createEngine } from '../../src/engine/pipeline/kontext.ts';
import { type PrecisionName, plainNumerics } from '../../src/engine/plan.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { fluxDialects } from '../../src/engine/weights/dialects/flux.ts';
import { openPrepared } from '../../src/engine/weights/prepared.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import type { RetouchError } from '../../src/error.ts';
import { pipelineFolder, pipelinePlan } from '../fixtures/plans.ts';
import { finish } from '../fixtures/preparing.ts';
import { ggmlTypes, writeGguf } from '../fixtures/write-gguf.ts';
import { f32, writeSafetensors } from '../fixtures/write-safetensors.ts';

/** A picture of the pipeline's own data. */
const reference = fs.readdirSync(path.join(pipelineFolder, '..')).find((name) => name.endsWith('.png'))!;
const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-not-finite-')));
const engine = createEngine({ threads: 1, memoryLimit: 4 * 2 ** 30, log: () => {} });
afterAll(async () => {
  await engine.release();
  fs.rmSync(folder, { recursive: true });
});

/** The small pipeline with one number of one tensor replaced. */
function damaged(component: string, tensor: RegExp, value: number): string {
  const copy = fs.mkdtempSync(path.join(folder, 'model-'));
  fs.cpSync(pipelineFolder, copy, { recursive: true });
  const entry = [...openCheckpoint(path.join(copy, component)).tensors.values()].find(({ name }) =>
    tensor.test(name),
  )!;
  const bytes = Buffer.alloc(4);
  if (entry.dtype === 'F32') bytes.writeFloatLE(value);
  // The upper half of an f32 is a BF16.
  else bytes.writeUInt16LE(new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16);
  expect(['F32', 'BF16']).toContain(entry.dtype);
  const fd = fs.openSync(entry.file, 'r+');
  fs.writeSync(fd, bytes, 0, entry.dtype === 'F32' ? 4 : 2, entry.offset);
  fs.closeSync(fd);
  return copy;
}

/** Events of a run, and how it ended. */
async function run(model: string, precision: PrecisionName, references: Uint8Array[] = []) {
  const { model: source, ...plan } = pipelinePlan(path.join(model, 'cache'), { references, steps: 2 });
  const seen: string[] = [];
  try {
    const running = engine.run(
      {
        ...plan,
        model: { ...source, files: { layout: 'diffusers', folder: model } },
        numerics: { ...plainNumerics, precision },
      },
      new AbortController().signal,
    );
    for await (const { type } of running) seen.push(type);
  } catch (error) {
    return { seen, error: error as RetouchError };
  }
  return { seen, error: undefined };
}

describe('a network whose weights are not finite', () => {
  it.each<[string, string, RegExp, RegExp]>([
    [
      'the transformer',
      'transformer',
      /^proj_out\.bias$/,
      /^The velocity of the transformer .+transformer is not finite \(it has NaN\)/,
    ],
    [
      'T5',
      'text_encoder_2',
      /final_layer_norm\.weight$/,
      /^The encoding of T5 .+text_encoder_2 is not finite/,
    ],
    ['CLIP', 'text_encoder', /final_layer_norm\.bias$/, /^The encoding of CLIP .+text_encoder is not finite/],
    [
      'the decoder',
      'vae',
      /^decoder\.conv_out\.bias$/,
      /^The image of the image decoder .+vae is not finite/,
    ],
  ])('gives an error and no picture: %s', async (_, component, tensor, message) => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const { seen, error } = await run(damaged(component, tensor, value), 'f32');
      expect(error).toMatchObject({ code: 'outputNotFinite' });
      if (Number.isNaN(value)) expect(error!.message).toMatch(message);
      expect(seen).not.toContain('image');
    }
  });

  it('gives an error for a reference too', async () => {
    const { error } = await run(damaged('vae', /^encoder\.conv_in\.bias$/, Number.NaN), 'f32', [
      fs.readFileSync(path.join(pipelineFolder, '..', reference)),
    ]);
    expect(error).toMatchObject({
      code: 'outputNotFinite',
      message: expect.stringMatching(/^The latent of the image encoder/),
    });
  });

  it.each<PrecisionName>(['int8', 'int8-blocks', 'int4'])(
    'is found while it is prepared for %s, and the tensor named',
    async (precision) => {
      const model = damaged('transformer', /^transformer_blocks\.0\.ff\.net\.2\.weight$/, Number.NaN);
      const { error } = await run(model, precision);
      expect(error).toMatchObject({
        code: 'checkpointInvalid',
        message: expect.stringMatching(
          /tensor transformer_blocks\.0\.ff\.net\.2\.weight has numbers that are not finite/,
        ),
      });
      expect(
        fs.readdirSync(path.join(model, 'cache')).filter((name) => name.includes('transformer')),
      ).toEqual([]);
    },
  );
});

it.each<PrecisionName>(['int8', 'int8-blocks', 'int4', 'f32'])(
  'blocks with a scale that is not finite are named when they are prepared for %s',
  async (precision) => {
    const bytes = Buffer.alloc(34);
    bytes.writeUInt16LE(0x7e00); // NaN in f16
    bytes[2] = 1;
    const file = path.join(folder, 'blocks.gguf');
    writeGguf(file, {
      'img_in.weight': { type: ggmlTypes.Q8_0, shape: [1, 32], bytes },
    });
    const source = new WeightSource(openCheckpoint(file), fluxDialects);
    const layer = { name: 'img_in', inputs: 32, outputs: 1, precise: false };
    const making = openPrepared(source, [layer], {
      precision,
      file: path.join(folder, `blocks-${precision}.safetensors`),
    });
    await expect(finish(making)).rejects.toThrow(/tensor img_in\.weight has numbers that are not finite/);
  },
);

it('a sound file is not touched by the check', async () => {
  const file = path.join(folder, 'sound.safetensors');
  writeSafetensors(file, { 'img_in.weight': f32([1e38, -1e38, 0, -0], [1, 4]) });
  const source = new WeightSource(openCheckpoint(file), fluxDialects);
  const making = openPrepared(source, [{ name: 'img_in', inputs: 4, outputs: 1, precise: false }], {
    precision: 'int8',
    file: `${file}.int8`,
  });
  await finish(making);
  expect(fs.existsSync(`${file}.int8`)).toBe(true);
});
