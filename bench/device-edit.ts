/** An edit by the embedded model on a device, beside the CPU's in the same precision. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { decodeImage } from '../src/engine/image/image-codec.ts';
import { type DeviceName, plainNumerics, plainPlan } from '../src/engine/plan.ts';
import { EngineHost } from '../src/engine/process/host.ts';
import type { PrecisionName } from '../src/engine/weights/conversion/layers.ts';
import { ModelStore } from '../src/store/models.ts';
import { psnr } from '../test/golden/compare.ts';

/** PSNR in dB of the device's picture against the CPU's. */
export type Edit = { milliseconds: number; decibels: number };

/**
 * Four steps at 1024×1024. The second edit is measured, since shaders are compiled in the first; where that took longer than
 * a tenth of `left` (milliseconds), the first is.
 */
export async function edit(
  device: DeviceName,
  precision: PrecisionName,
  { threads, left }: { threads: number; left: number },
): Promise<Edit> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-device-'));
  const store = await ModelStore.scan({ models: folder, cache: folder });
  const { source } = store.find('retouch:mini@1')!;
  const host = new EngineHost({ threads });
  const picture = fs.readFileSync(new URL('../examples/scene-car.png', import.meta.url));
  const draw = async (on: DeviceName) => {
    const plan = {
      ...plainPlan,
      ...{ model: { ...source, cacheFolder: folder }, prompt: 'make the car blue', references: [picture] },
      ...{ width: 1024, height: 1024, seed: 1n, steps: 4, guidance: 2.5 },
      numerics: { ...plainNumerics, device: on, precision },
      output: { format: 'png', quality: 95 },
    } as const;
    const begin = performance.now();
    for await (const event of host.run(plan))
      if (event.type === 'image') {
        const milliseconds = performance.now() - begin;
        return { milliseconds, pixels: (await decodeImage(event.image.bytes)).data };
      }
    throw new Error('the run ended without a picture');
  };
  try {
    const cpu = await draw('cpu');
    const first = await draw(device);
    const { milliseconds, pixels } = first.milliseconds > left / 10 ? first : await draw(device);
    return { milliseconds, decibels: psnr(pixels, cpu.pixels) };
  } finally {
    await host.close();
    fs.rmSync(folder, { recursive: true });
  }
}
