/** An edit under a mask, on the embedded model: the picture stays outside, and changes inside. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import OpenAI, { toFile } from 'openai';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import type { Bitmap } from '../../src/engine/image/pixels.ts';
import { resizeLanczos } from '../../src/engine/image/resample.ts';
import { ServerProcess } from './server-process.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let folder: string;
let server: ServerProcess;
let scene: Buffer;
let original: Bitmap;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-mask-'));
  server = await ServerProcess.start({ dataDir: folder });
  scene = await readFile(fileURLToPath(new URL('../../examples/scene-car.png', import.meta.url)));
  original = await decodeImage(scene);
});

afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A mask of the scene's size, transparent where `inside` is true. */
async function drawMask(inside: (x: number) => boolean): Promise<Buffer> {
  const { width, height } = original;
  const data = Buffer.alloc(width * height * 4, 255);
  for (let i = 0; i < width * height; i++) if (inside(i % width)) data[4 * i + 3] = 0;
  return sharp(data, { raw: { width, height, channels: 4 } })
    .png()
    .toBuffer();
}

async function edit(mask: Buffer | undefined, fields: object = {}): Promise<Bitmap> {
  const client = new OpenAI({ apiKey: 'none', baseURL: `${server.url}/v1`, maxRetries: 0 });
  const answer = await client.images.edit({
    image: await toFile(scene, 'scene.png', { type: 'image/png' }),
    ...(mask && { mask: await toFile(mask, 'mask.png', { type: 'image/png' }) }),
    prompt: 'make it night',
    ...{ num_inference_steps: 4, seed: 3, ...fields },
  } as OpenAI.ImageEditParamsNonStreaming);
  return decodeImage(Buffer.from(answer.data![0]!.b64_json!, 'base64'));
}

/** Mean absolute difference of the bytes in columns from … to. */
function difference(a: Bitmap, b: Bitmap, from: number, to: number): number {
  let sum = 0;
  let count = 0;
  for (let y = 0; y < a.height; y++)
    for (let i = (y * a.width + from) * 3; i < (y * a.width + to) * 3; i++, count++)
      sum += Math.abs(a.data[i]! - b.data[i]!);
  return sum / count;
}

it('outside the mask every byte is that of the stretched reference; inside the picture is edited', async () => {
  const masked = await edit(await drawMask((x) => x < original.width / 2));
  const reference = resizeLanczos(original, masked.width, masked.height);
  const half = masked.width / 2;
  // Lanczos reaches a few pixels beyond the edge of the mask.
  expect(difference(masked, reference, half + 8, masked.width)).toBe(0);
  expect(difference(masked, reference, 0, half - 8)).toBeGreaterThan(20);
});

it('a mask that is transparent throughout gives the picture that no mask gives', async () => {
  const whole = await edit(await drawMask(() => true));
  const plain = await edit(undefined);
  // Blending with nothing kept changes no value.
  expect(difference(whole, plain, 0, plain.width)).toBe(0);
});

it('the edit inside is drawn for what is around it', async () => {
  const masked = await edit(await drawMask((x) => x < original.width / 2));
  const plain = await edit(undefined);
  const half = masked.width / 2;
  // Near: both are the same instruction. Not equal: the kept half was there in every step.
  expect(difference(masked, plain, 0, half - 8)).toBeGreaterThan(0);
});
