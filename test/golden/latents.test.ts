import { expect, test } from 'vitest';
import { resizeLanczos } from '../../src/engine/image/resample.ts';
import { latentMask } from '../../src/engine/latents/inpaint.ts';
import { pack, unpack } from '../../src/engine/latents/packing.ts';
import { referenceIds, targetIds, textIds } from '../../src/engine/latents/token-ids.ts';
import { openSafetensors } from '../../src/engine/weights/safetensors.ts';
import { readBytes } from '../../src/engine/weights/stored.ts';
import { goldenFile, openGolden } from './data.ts';

const golden = openGolden('flux_tiny_io.safetensors');
const shapeOf = (name: string) => {
  const [, channels, h, w] = golden.shape(name);
  return { channels: channels!, h: h!, w: w! };
};
const gridOf = (name: string) => ({ rows: shapeOf(name).h / 2, columns: shapeOf(name).w / 2 });

test.each([
  ['noise', 'img'],
  ['ref_latent', 'ref_img'],
  ['ref2_latent', 'ref2_img'],
])('%s packs to %s and unpacks again', (latent, tokens) => {
  const packed = pack(golden.floats(latent), shapeOf(latent));
  expect(packed).toEqual(golden.floats(tokens));
  expect(unpack(packed, shapeOf(latent))).toEqual(golden.floats(latent));
});

test('the outcome of the loop unpacks to its latent', () => {
  expect(unpack(golden.floats('loop.out'), shapeOf('loop.latent'))).toEqual(golden.floats('loop.latent'));
});

test('text, target and one reference have the ids of the reference implementation', () => {
  expect(textIds(golden.shape('txt_ids')[1]!)).toEqual(golden.floats('txt_ids'));
  expect(targetIds(gridOf('noise'))).toEqual(golden.floats('img_ids'));
  for (const method of ['offset', 'index'] as const) {
    expect(referenceIds([gridOf('ref_latent')], method)).toEqual([golden.floats('ref_ids')]);
  }
});

test('a second reference is image 2 by the rule "index"', () => {
  const ids = referenceIds([gridOf('ref_latent'), gridOf('ref2_latent')], 'index');
  expect(ids).toEqual([golden.floats('ref_ids'), golden.floats('ref2_ids_index')]);
});

test('a second reference is laid out beside the first by the rule "offset"', () => {
  // The stored ids lie below a first reference of 8 rows. ComfyUI and InvokeAI would put this pair side by side
  // (8 + 4 rows against 6 + 4 columns); below is where they put it when the first is as wide as it is high.
  const square = { rows: gridOf('ref_latent').rows, columns: gridOf('ref_latent').rows };
  expect(referenceIds([square, gridOf('ref2_latent')], 'offset')[1]).toEqual(
    golden.floats('ref2_ids_offset'),
  );
  const [first, second] = referenceIds([gridOf('ref_latent'), gridOf('ref2_latent')], 'offset');
  expect(first).toEqual(golden.floats('ref_ids'));
  expect([...second!.subarray(0, 6)]).toEqual([1, 0, 6, 1, 0, 7]);
});

test('an inpainted latent is the original wherever the packed mask is zero', () => {
  const { channels, h, w } = shapeOf('inpaint.init_latent');
  const grey = Uint8Array.from(golden.floats('inpaint.mask_latent'), (value) => value * 255);
  const mask = pack(latentMask({ width: w, height: h, data: grey }, { channels, h, w }), { channels, h, w });
  const init = pack(golden.floats('inpaint.init_latent'), { channels, h, w });
  const out = golden.floats('inpaint.out');
  const kept = init.map((value, i) => (mask[i] ? 0 : value));
  expect(out.map((value, i) => (mask[i] ? 0 : value))).toEqual(kept);
  expect(mask.some((value) => value === 1) && mask.some((value) => value === 0)).toBe(true);
});

test('resizing gives the bytes Pillow gives', () => {
  const { tensors } = openSafetensors(goldenFile('pil_lanczos.safetensors'));
  const read = (name: string) => {
    const entry = tensors.get(name)!;
    const [height, width] = entry.shape;
    return { width: width!, height: height!, data: new Uint8Array(readBytes(entry)) };
  };
  const sizes = [...tensors.keys()].filter((name) => name.startsWith('out_'));
  expect(sizes).toHaveLength(2);
  for (const name of sizes) {
    const expected = read(name);
    expect(resizeLanczos(read('in'), expected.width, expected.height)).toEqual(expected);
  }
});
