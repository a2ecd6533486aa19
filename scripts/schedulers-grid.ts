/** `npm run docs:grid`: docs/reference/schedulers.webp, a tile for every sampler and spacing that the schedulers mean. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp, { type OverlayOptions } from 'sharp';
import { schedulers } from '../src/api/schedulers.ts';
import { type Plan, plainNumerics, plainPlan } from '../src/engine/plan.ts';
import { EngineHost } from '../src/engine/process/host.ts';
import { ModelStore } from '../src/store/models.ts';
import { makeImage } from '../src/tasks/run/make-image.ts';
import { distinctSchedulers } from './schedulers-page.ts';

const [tile, caption, columns] = [128, 22, 8];
const file = (path: string) => new URL(`../${path}`, import.meta.url);

const folder = mkdtempSync(join(tmpdir(), 'retouch-grid-'));
const models = await ModelStore.scan({ models: join(folder, 'models'), cache: join(folder, 'cache') });
const engine = new EngineHost();
const plan = {
  ...plainPlan,
  model: models.find('retouch:mini@1')!.source,
  prompt: 'make the car blue',
  references: [readFileSync(file('examples/scene-car.png'))],
  width: 1024,
  height: 1024,
  seed: 3n,
  steps: 6,
  guidance: 2.5,
  numerics: plainNumerics,
  output: { format: 'png', quality: 95 },
} satisfies Plan;

const names = distinctSchedulers();
const layers: OverlayOptions[] = [];
for (const [i, name] of names.entries()) {
  const signal = new AbortController().signal;
  const { bytes } = await makeImage(
    { ...plan, ...schedulers[name] },
    { engines: engine, signal, onEvent: () => {} },
  );
  const [left, top] = [(i % columns) * tile, Math.floor(i / columns) * (tile + caption)];
  layers.push({
    input: await sharp(bytes)
      .resize(tile - 4, tile - 4)
      .toBuffer(),
    left: left + 2,
    top: top + 2,
  });
  layers.push({ input: label(name), left, top: top + tile });
  console.log(`${i + 1}/${names.length} ${name}`);
}
await engine.close();
rmSync(folder, { recursive: true });

const height = Math.ceil(names.length / columns) * (tile + caption);
await sharp({ create: { width: columns * tile, height, channels: 3, background: '#ffffff' } })
  .composite(layers)
  .webp({ quality: 80 })
  .toFile(file('docs/reference/schedulers.webp').pathname);

/** Long names get a smaller font instead of being cut. */
function label(name: string): Buffer {
  const size = Math.min(12, (tile - 6) / (0.58 * name.length)).toFixed(1);
  const text = `<text x="${tile / 2}" y="14" font-family="sans-serif" font-size="${size}" text-anchor="middle">${name}</text>`;
  return Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${tile}" height="${caption}">${text}</svg>`,
  );
}
