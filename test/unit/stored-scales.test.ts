/** Weights that are stored with scales, formats that are known and not read, and folders of parts. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type Checkpoint, openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { prefixed } from '../../src/engine/weights/dialects/index.ts';
import { openPrepared } from '../../src/engine/weights/prepared.ts';
import { openSafetensors } from '../../src/engine/weights/safetensors.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { piecesOf } from '../../src/engine/weights/stored.ts';
import { refuseUnreadableTypes } from '../../src/engine/weights/unreadable.ts';
import { RetouchError } from '../../src/error.ts';
import { finish } from '../fixtures/preparing.ts';
import { f32, type StoredTensor, writeSafetensors, writeWithHeader } from '../fixtures/write-safetensors.ts';
import { difference } from '../golden/compare.ts';
import { StoredFlux } from '../golden/stored-flux.ts';

const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-scales-')));
afterAll(() => fs.rmSync(folder, { recursive: true }));
const at = (...names: string[]) => path.join(folder, ...names);

let count = 0;
function write(tensors: Record<string, StoredTensor>): string {
  const file = at(`${count++}.safetensors`);
  writeSafetensors(file, tensors);
  return file;
}

function sourceOf(tensors: Record<string, StoredTensor>): WeightSource {
  return new WeightSource(openCheckpoint(write(tensors)), [prefixed('plain', '', 'a.weight')]);
}

function refusalOf(action: () => unknown): RetouchError {
  try {
    action();
  } catch (error) {
    if (error instanceof RetouchError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

const stored = (dtype: string, codes: number[], shape: number[]): StoredTensor => ({
  dtype,
  shape,
  bytes: Uint8Array.from(codes),
});
const i8 = (codes: number[], shape: number[]) => stored('I8', codes, shape);
const describing = (layer: object): StoredTensor => {
  const bytes = Buffer.from(JSON.stringify(layer));
  return { dtype: 'U8', shape: [bytes.length], bytes };
};
const bf16 = (values: number[], shape: number[]): StoredTensor => ({
  dtype: 'BF16',
  shape,
  bytes: new Uint8Array(
    Uint16Array.from(new Uint32Array(Float32Array.from(values).buffer), (bits) => bits >>> 16).buffer,
  ),
});

describe('weights with scales', () => {
  const rows = [2, -3, 4, -128, 127, 1];

  it.each<[string, StoredTensor, number[]]>([
    ['one', f32([0.5], []), [0.5, 0.5, 0.5]],
    ['one in a list', f32([0.5], [1]), [0.5, 0.5, 0.5]],
    ['one for each row', f32([0.5, 2, 0.25], [3]), [0.5, 2, 0.25]],
    ['one for each row, as a column', f32([0.5, 2, 0.25], [3, 1]), [0.5, 2, 0.25]],
    ['in BF16', bf16([0.5], []), [0.5, 0.5, 0.5]],
  ])('in eight-bit integers (int8_tensorwise) are multiplied with them: %s', (_, scale, factors) => {
    const source = sourceOf({
      'a.weight': i8(rows, [3, 2]),
      'a.weight_scale': scale,
      'a.comfy_quant': describing({ format: 'int8_tensorwise' }),
    });
    const expected = rows.map((value, i) => value * factors[Math.floor(i / 2)]!);
    expect([...source.floats('a.weight')]).toEqual(expected);
    expect([...source.rows('a.weight', [2, 0])]).toEqual([...expected.slice(4), ...expected.slice(0, 2)]);
    expect([...source.checkpoint.tensors.keys()]).toEqual(['a.weight']);
  });

  it.each(['scale_weight', 'weight_scale'])(
    'in BF16, F32 and eight-bit floats are multiplied with .%s',
    (name) => {
      const scale = { [`a.${name}`]: f32([4, 0.5], [2, 1]) };
      expect([...sourceOf({ 'a.weight': bf16([1, -2], [2, 1]), ...scale }).floats('a.weight')]).toEqual([
        4, -1,
      ]);
      expect([...sourceOf({ 'a.weight': f32([1, -2], [2, 1]), ...scale }).floats('a.weight')]).toEqual([
        4, -1,
      ]);
      const e4m3 = stored('F8_E4M3', [0x38, 0xb8], [2, 1]);
      expect([...sourceOf({ 'a.weight': e4m3, ...scale }).floats('a.weight')]).toEqual([4, -0.5]);
    },
  );

  it('in bytes that a description calls eight-bit floats are read as such', () => {
    const described = {
      'a.comfy_quant': describing({ format: 'float8_e4m3fn', full_precision_matrix_mult: true }),
    };
    const source = sourceOf({
      'a.weight': stored('U8', [0x38, 0xb8], [2, 1]),
      'a.weight_scale': f32([3], []),
      ...described,
    });
    expect([...source.floats('a.weight')]).toEqual([3, -3]);
  });

  it('of halves and rows keep those that are theirs', () => {
    const file = write({
      'a.weight': i8([1, 2, 3, 4], [4, 1]),
      'a.weight_scale': f32([10, 20, 30, 40], [4]),
    });
    const swapped = {
      ...prefixed('plain', '', 'a.weight'),
      locate: (name: string) => [
        { name, half: 1 as const },
        { name, half: 0 as const },
      ],
    };
    const source = new WeightSource(openCheckpoint(file), [swapped]);
    expect([...source.floats('a.weight')]).toEqual([90, 160, 10, 40]);
    const pieces = [...piecesOf(source.parts('a.weight'), 1)].map(({ part, row }) => [
      row,
      part.shape[0],
      [...part.scale!],
    ]);
    expect(pieces).toEqual([
      [0, 1, [30]],
      [1, 1, [40]],
      [2, 1, [10]],
      [3, 1, [20]],
    ]);
  });

  it('in eight-bit integers are copied, not rounded again, when products are computed in int8', async () => {
    const source = sourceOf({ 'a.weight': i8(rows, [3, 2]), 'a.weight_scale': f32([0.5, 2, 0.25], [3, 1]) });
    const file = at('copied.safetensors');
    const making = openPrepared(source, [{ name: 'a', inputs: 2, outputs: 3, precise: false }], {
      precision: 'int8',
      file,
    });
    await finish(making);
    const { tensors } = openSafetensors(file);
    const bytes = fs.readFileSync(file).subarray(tensors.get('a.weight.i8')!.offset);
    // [K, N]: a column of the file is a row of the weight.
    expect([...new Int8Array(Uint8Array.from(bytes.subarray(0, 6)).buffer)]).toEqual([
      2, 4, 127, -3, -128, 1,
    ]);
  });

  it.each<[string, Record<string, StoredTensor>, RegExp]>([
    [
      'of blocks of columns',
      { 'a.weight': i8([1, 2, 3, 4], [1, 4]), 'a.weight_scale': f32([1, 2], [1, 2]) },
      /shape \[1,2\], expected one number or one for each of the 1 rows/,
    ],
    [
      'of another number of rows',
      { 'a.weight': i8([1, 2], [2, 1]), 'a.weight_scale': f32([1, 2, 3], [3, 1]) },
      /for each of the 2 rows of a\.weight/,
    ],
    [
      'of rotated weights',
      {
        'a.weight': i8([1, 2], [2, 1]),
        'a.weight_scale': f32([1, 2], [2, 1]),
        'a.comfy_quant': describing({ format: 'int8_tensorwise', convrot: true, convrot_groupsize: 256 }),
      },
      /rotated inputs \(convrot\)/,
    ],
    [
      'in a format that is not known',
      { 'a.weight': i8([1, 2], [2, 1]), 'a.comfy_quant': describing({ format: 'int8_blockwise' }) },
      /as int8_blockwise, which this build does not read; .* float8_e4m3fn, float8_e5m2, int8_tensorwise/,
    ],
  ])('%s are refused', (_, tensors, message) => {
    const error = refusalOf(() => sourceOf(tensors).floats('a.weight'));
    expect(error.code).toBe('dtypeUnsupported');
    expect(error.message).toMatch(message);
  });

  it('without any, integers are refused', () => {
    const error = refusalOf(() => sourceOf({ 'a.weight': i8([1], [1, 1]) }).floats('a.weight'));
    expect(error).toMatchObject({ code: 'dtypeUnsupported', message: expect.stringContaining('I8') });
  });
});

/** Every matrix in eight-bit integers with a scale for each row, and the same numbers in f32. */
function writeRows(flux: StoredFlux): { rows: Checkpoint; twin: Checkpoint } {
  const [tensors, plain]: Record<string, StoredTensor>[] = [{}, {}];
  for (const { name, shape, values } of flux.tensors) {
    if (shape.length !== 2) {
      tensors![name] = f32([...values], shape);
      plain![name] = f32([...values], shape);
      continue;
    }
    const [outputs, inputs] = shape as [number, number];
    const scale = Float32Array.from(
      { length: outputs },
      (_, n) =>
        values
          .subarray(n * inputs, (n + 1) * inputs)
          .reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6) / 120,
    );
    const codes = Int8Array.from(values, (value, i) => Math.round(value / scale[Math.floor(i / inputs)]!));
    tensors![name] = { dtype: 'I8', shape, bytes: new Uint8Array(codes.buffer) };
    tensors![name.replace(/weight$/, 'weight_scale')] = f32([...scale], [outputs, 1]);
    tensors![name.replace(/weight$/, 'comfy_quant')] = describing({ format: 'int8_tensorwise' });
    plain![name] = f32(
      [...codes].map((code, i) => code * scale[Math.floor(i / inputs)]!),
      shape,
    );
  }
  writeSafetensors(at('rows.safetensors'), tensors!, flux.params);
  writeSafetensors(at('twin.safetensors'), plain!, flux.params);
  return { rows: openCheckpoint(at('rows.safetensors')), twin: openCheckpoint(at('twin.safetensors')) };
}

it('a transformer in eight-bit integers with a scale for each row gives the velocities of its numbers, and in int8 the same', async () => {
  const flux = new StoredFlux(folder);
  const { rows, twin } = writeRows(flux);
  const expected = await flux.velocity(twin);
  // The scale is multiplied in f32 in both: the same numbers.
  expect(difference(await flux.velocity(rows), expected).relativeL2).toBeLessThan(1e-6);
  // Activations are rounded to eight bits, weights are not rounded again.
  expect(difference(await flux.velocity(rows, 'int8'), expected).relativeL2).toBeLessThan(0.02);
});

describe('a format that is not read', () => {
  const weight = (dtype: string, ...shape: number[]) =>
    stored(dtype, Array(shape.reduce((a, b) => a * b, 1)).fill(0), shape);
  const layer = 'double_blocks.0.img_mod.lin';

  it.each<[string, Record<string, StoredTensor>]>([
    [
      "bitsandbytes' NF4",
      {
        [`${layer}.weight`]: weight('U8', 8, 1),
        [`${layer}.weight.quant_state.bitsandbytes__nf4`]: weight('U8', 4),
      },
    ],
    [
      "bitsandbytes' NF4",
      { [`model.diffusion_model.${layer}.weight.quant_state.bitsandbytes__nf4`]: weight('U8', 4) },
    ],
    ["bitsandbytes' FP4", { [`${layer}.weight.quant_state.bitsandbytes__fp4`]: weight('U8', 4) }],
    [
      "bitsandbytes' four bits",
      { [`${layer}.weight`]: weight('U8', 8, 1), [`${layer}.weight.absmax`]: weight('U8', 4) },
    ],
    ["bitsandbytes' LLM.int8()", { [`${layer}.weight`]: weight('I8', 8, 1), [`${layer}.SCB`]: f32([1]) }],
    [
      'NVFP4',
      {
        [`${layer}.weight`]: weight('U8', 2, 2),
        [`${layer}.weight_scale`]: weight('F8_E4M3', 2, 1),
        [`${layer}.weight_scale_2`]: f32([1], []),
      },
    ],
    [
      'MXFP8',
      { [`${layer}.weight`]: weight('F8_E4M3', 2, 2), [`${layer}.weight_scale`]: weight('U8', 2, 1) },
    ],
    [
      'SVDQuant',
      {
        'transformer_blocks.0.qkv_proj.qweight': weight('I8', 2, 2),
        'transformer_blocks.0.qkv_proj.wscales': weight('U8', 2),
      },
    ],
    ['GPTQ or AWQ', { [`${layer}.qweight`]: weight('I32', 0), [`${layer}.qzeros`]: weight('I32', 0) }],
    ['HQQ', { [`${layer}.W_q`]: weight('U8', 2, 2) }],
    ["optimum-quanto's", { [`${layer}.weight._data`]: weight('I8', 2, 2) }],
    [
      'blocks of eight-bit floats',
      { [`${layer}.weight`]: weight('F8_E4M3', 2, 2), [`${layer}.weight_scale_inv`]: f32([1], [1, 1]) },
    ],
  ])('is named: %s', (name, tensors) => {
    const error = refusalOf(() => openCheckpoint(write(tensors)));
    expect(error.code).toBe('dtypeUnsupported');
    expect(error.message).toContain(`${name}`);
    expect(error.message).toMatch(/which this build does not read; it reads F32, .*Q2_K/);
  });

  it('is refused by its types alone, from the header', () => {
    const refuse = (tensors: Record<string, StoredTensor>) => {
      const file = write(tensors);
      return refuseUnreadableTypes(file, openSafetensors(file).tensors);
    };
    for (const dtype of ['F4', 'F8_E8M0', 'U8'])
      expect(refusalOf(() => refuse({ [`${layer}.weight`]: stored(dtype, [], [0, 2]) })).message).toContain(
        `${layer}.weight as ${dtype}`,
      );
    expect(refusalOf(() => refuse({ [`${layer}.weight`]: weight('I8', 2, 2) })).message).toContain('as I8');
    refuse({
      [`${layer}.weight`]: weight('I8', 2, 2),
      [`${layer}.weight_scale`]: f32([1], []),
      [`${layer}.comfy_quant`]: weight('U8', 30),
      'text_model.embeddings.position_ids': weight('I64', 0, 77),
      scaled_fp8: weight('F8_E4M3', 0),
    });
  });
});

describe('metadata of a header', () => {
  const header = (metadata: unknown) => {
    const file = at('metadata.safetensors');
    writeWithHeader(file, JSON.stringify({ __metadata__: metadata }));
    return openSafetensors(file).metadata;
  };

  it('that is null is none, as Python reads it', () => {
    expect(header(null)).toEqual({});
    expect(header({ format: 'pt' })).toEqual({ format: 'pt' });
  });

  it.each([[[]], ['text'], [{ a: 1 }], [{ a: null }]])(
    'that is no table of texts is refused: %j',
    (metadata) => {
      expect(refusalOf(() => header(metadata))).toMatchObject({
        code: 'checkpointInvalid',
        message: expect.stringContaining('__metadata__'),
      });
    },
  );
});

describe('a folder of parts', () => {
  const part = (name: string, tensor: string, ...where: string[]) => {
    fs.mkdirSync(at(...where), { recursive: true });
    writeSafetensors(at(...where, name), { [tensor]: f32([1]) });
  };
  const index = (name: string, files: string[], ...where: string[]) =>
    fs.writeFileSync(
      at(...where, name),
      JSON.stringify({ weight_map: Object.fromEntries(files.map((file, i) => [`t${i}`, file])) }),
    );
  const tensorsOf = (...where: string[]) => [...openCheckpoint(at(...where)).tensors.keys()].sort();

  it('with the index of a variant is read whole', () => {
    const files = ['model.fp16-00001-of-00002.safetensors', 'model.fp16-00002-of-00002.safetensors'];
    for (const [i, name] of files.entries()) part(name, `t${i}`, 'variant');
    index('model.safetensors.index.fp16.json', files, 'variant');
    expect(tensorsOf('variant')).toEqual(['t0', 't1']);
  });

  it('with the index of files that are not there and one of files that are takes the latter', () => {
    const files = ['model.fp16-00001-of-00002.safetensors', 'model.fp16-00002-of-00002.safetensors'];
    for (const [i, name] of files.entries()) part(name, `t${i}`, 'both');
    index('model.safetensors.index.fp16.json', files, 'both');
    index('model.safetensors.index.json', ['model-00001-of-00002.safetensors'], 'both');
    expect(tensorsOf('both')).toEqual(['t0', 't1']);
  });

  it('without an index is read whole, and one that lacks a part says which', () => {
    part('diffusion_pytorch_model-00001-of-00002.safetensors', 't0', 'parts');
    expect(refusalOf(() => tensorsOf('parts'))).toMatchObject({
      code: 'modelFileMissing',
      message: expect.stringMatching(
        /parts lacks diffusion_pytorch_model-00002-of-00002\.safetensors of the 2 parts/,
      ),
    });
    part('diffusion_pytorch_model-00002-of-00002.safetensors', 't1', 'parts');
    expect(tensorsOf('parts')).toEqual(['t0', 't1']);
  });

  it('of which one is named alone is asked for', () => {
    const error = refusalOf(() =>
      openCheckpoint(at('parts', 'diffusion_pytorch_model-00002-of-00002.safetensors')),
    );
    expect(error.message).toMatch(/is part 2 of 2 of a network; name the folder/);
  });
});
