import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeImage, encodeImage, probeImage } from '../../src/engine/image/image-codec.ts';
import { embedPlan, readPlanRecord } from '../../src/engine/pipeline/plan-record.ts';
import { type Plan, plainNumerics, plainPlan } from '../../src/engine/plan.ts';

const plan: Plan = {
  ...plainPlan,
  model: {
    air: 'retouch:mini@1',
    files: { layout: 'diffusers', folder: '/home/someone/model' },
    cacheFolder: '/home/someone/cache',
  },
  prompt: '/imagine "a café", 雪 🎨\nin two lines',
  negativePrompt: 'rain',
  references: [Uint8Array.of(1, 2, 3)],
  width: 24,
  height: 17,
  seed: 9223372036854775807n,
  steps: 28,
  guidance: 2.5,
  trueCfg: 4,
  sampler: 'dpmpp-2m',
  sigmas: 'karras',
  loras: [{ air: 'civitai:1@2', file: '/home/someone/lora.safetensors', weight: -0.5, stage: 'both' }],
  ipAdapters: [
    {
      air: 'me:style@1',
      file: '/home/someone/ip_adapter.safetensors',
      imageEncoder: '/home/someone/image_encoder',
      guides: [Uint8Array.of(1, 2, 3)],
      faceDetector: undefined,
      weight: 0.8,
      weightType: 'normal',
      weightComposition: 1,
      combineMethod: 'concat',
      embedScaling: 'kv',
    },
  ],
  numerics: plainNumerics,
  previewEvery: 3,
  output: { format: 'png', quality: 95 },
};

const bitmap = {
  width: 24,
  height: 17,
  data: Uint8Array.from({ length: 24 * 17 * 3 }, (_, i) => (i * 37) % 256),
};

async function draw(format: 'png' | 'webp' | 'jpg') {
  return embedPlan(await encodeImage(bitmap, format, 90), plan);
}

describe('a picture of Retouch', () => {
  it.each(['png', 'webp', 'jpg'] as const)('says how it was made: %s', async (format) => {
    const { bytes } = await draw(format);
    expect(readPlanRecord(bytes)).toEqual({
      software: 'Retouch',
      model: 'retouch:mini@1',
      prompt: plan.prompt,
      negativePrompt: 'rain',
      // printf '\1\2\3' | sha256sum
      references: ['sha256:039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81'],
      width: 24,
      height: 17,
      seed: '9223372036854775807',
      steps: 28,
      guidance: 2.5,
      trueCfg: 4,
      sampler: 'dpmpp-2m',
      sigmas: 'karras',
      loras: [{ air: 'civitai:1@2', weight: -0.5, stage: 'both' }],
      ipAdapters: [
        {
          air: 'me:style@1',
          guides: ['sha256:039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81'],
          weight: 0.8,
          weightType: 'normal',
          weightComposition: 1,
          combineMethod: 'concat',
          embedScaling: 'kv',
        },
      ],
      numerics: plainNumerics,
      decoder: 'full',
      output: { format: 'png', quality: 95 },
    });
    expect(Buffer.from(bytes).toString('latin1')).not.toContain('someone');
  });

  it.each(['png', 'webp', 'jpg'] as const)('has the same pixels and size as without: %s', async (format) => {
    const plain = await encodeImage(bitmap, format, 90);
    const { bytes } = await draw(format);
    expect(await decodeImage(bytes)).toEqual(await decodeImage(plain.bytes));
    expect(await probeImage(bytes)).toEqual({ format, width: 24, height: 17 });
  });

  it.each(['png', 'webp', 'jpg'] as const)('is the same bytes when it is made again: %s', async (format) => {
    expect(Buffer.from((await draw(format)).bytes).equals((await draw(format)).bytes)).toBe(true);
  });

  it('leaves out what a JPEG has no room for, its parameters first', async () => {
    const long = (length: number) => ({ ...plan, prompt: '雪'.repeat(length) });
    const image = await encodeImage(bitmap, 'jpg', 90);
    const hasParameters = async ({ bytes }: { bytes: Uint8Array }) =>
      (await sharp(bytes).metadata()).exif?.includes(Buffer.from('雪雪', 'utf16le').swap16());
    // 6 bytes of JSON and 2 of parameters for each letter, in 64 KB.
    const [both, one, none] = [7500, 10_000, 12_000].map((length) => embedPlan(image, long(length)));
    expect(readPlanRecord(both!.bytes)?.prompt).toHaveLength(7500);
    expect(await hasParameters(both!)).toBe(true);
    expect(readPlanRecord(one!.bytes)?.prompt).toHaveLength(10_000);
    expect(await hasParameters(one!)).toBe(false);
    expect(Buffer.from(none!.bytes).equals(image.bytes)).toBe(true);
  });

  it('has its parameters where libpng and other programs find them', async () => {
    const { comments } = await sharp((await draw('png')).bytes).metadata();
    const parameters = comments?.find(({ keyword }) => keyword === 'parameters')?.text;
    expect(parameters).toBe(
      `${plan.prompt}\nNegative prompt: rain\nSteps: 28, Sampler: dpmpp-2m, Schedule type: karras, ` +
        'CFG scale: 4, Distilled CFG Scale: 2.5, Seed: 9223372036854775807, Size: 24x17, Model: retouch:mini@1, ' +
        'Lora 1: civitai:1@2 -0.5, IP-Adapter 1: me:style@1 0.8, Version: Retouch',
    );
    expect(comments?.map(({ keyword }) => keyword)).toEqual(['parameters', 'retouch']);
  });

  it.each(['webp', 'jpg'] as const)('has EXIF that libvips and libexif find: %s', async (format) => {
    const { exif } = await sharp((await draw(format)).bytes).metadata();
    expect(exif?.toString('latin1')).toContain('UNICODE\0');
    expect(exif?.includes(Buffer.from('Negative prompt: rain', 'utf16le').swap16())).toBe(true);
  });

  it('keeps its transparency when it is a WebP that has it', async () => {
    const create = {
      width: 24,
      height: 17,
      channels: 4 as const,
      background: { r: 1, g: 2, b: 3, alpha: 0.5 },
    };
    const bytes = await sharp({ create }).webp({ lossless: true }).toBuffer();
    const marked = embedPlan({ bytes, format: 'webp', width: 24, height: 17 }, plan);
    const { data } = await sharp(marked.bytes).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
    expect(data[3]).toBe(128);
  });

  it('is read by the command line', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'retouch-info-'));
    const script = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
    const path = join(folder, 'a.webp');
    writeFileSync(path, (await draw('webp')).bytes);
    const text = execFileSync(process.execPath, [script, 'info', path], { encoding: 'utf8' });
    expect(JSON.parse(text)).toMatchObject({ prompt: plan.prompt, seed: '9223372036854775807' });
    writeFileSync(path, (await encodeImage(bitmap, 'jpg', 90)).bytes);
    expect(() => execFileSync(process.execPath, [script, 'info', path], { stdio: 'pipe' })).toThrow(
      'does not say how it was made',
    );
    rmSync(folder, { recursive: true });
  });
});

describe('a picture of someone else', () => {
  it.each(['png', 'webp', 'jpeg'] as const)('says nothing, whole or cut: %s', async (format) => {
    const create = { width: 24, height: 17, channels: 3 as const, background: '#123456' };
    const bytes = await sharp({ create })
      .withExif({ IFD0: { ImageDescription: '{' } })
      [format]()
      .toBuffer();
    for (let length = 0; length <= bytes.length; length++) {
      expect(readPlanRecord(bytes.subarray(0, length))).toBeUndefined();
    }
  });
});
