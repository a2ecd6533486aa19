import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { meanColour, sceneCar } from '../fixtures/colours.ts';
import { runGuide } from '../fixtures/guide.ts';
import { loraTensors, randomUpdates } from '../fixtures/lora-files.ts';
import { drawScene } from '../fixtures/scene.ts';
import { writeSafetensors } from '../fixtures/write-safetensors.ts';

vi.setConfig({ testTimeout: 300_000 });

const scene = fileURLToPath(new URL('../../examples/scene-car.png', import.meta.url));
const transformer = fileURLToPath(new URL('../../model/transformer', import.meta.url));
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-guide-'));
  await writeFile(join(folder, 'photo.png'), await drawScene(256, 256));
  await copyFile(scene, join(folder, 'scene.png'));
  const updates = randomUpdates(openCheckpoint(transformer), 4, 1, (name) => /attn\.to_[qkv]$/.test(name));
  writeSafetensors(join(folder, 'ink.safetensors'), loraTensors(updates, { prefix: 'transformer.' }));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

it("the guide's commands edit with the model's own LoRA, and with one that they install at three weights", async () => {
  const printed = await runGuide('lora', folder);
  const neon = await decodeImage(await readFile(join(folder, 'neon.png')));
  for (const level of meanColour(neon, sceneCar.ground)) expect(level).toBeLessThan(60);
  // A house glows orange; the tree that was there would be green.
  const [red, green] = meanColour(neon, sceneCar.tree);
  expect(red).toBeGreaterThan(green + 10);
  const pictures = [];
  for (const name of ['full', 'light', 'away']) {
    expect(printed).toContain(`${name}.png · 1024×1024 · retouch:mini@1 · seed 1`);
    pictures.push((await decodeImage(await readFile(join(folder, `${name}.png`)))).data);
  }
  const [full, light, away] = pictures as [Uint8Array, Uint8Array, Uint8Array];
  for (const [one, other] of [
    [full, light],
    [full, away],
    [light, away],
  ] as const)
    expect(Buffer.compare(one, other)).not.toBe(0);
});
