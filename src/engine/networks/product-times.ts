/** How fast a GPU multiplies in each precision: measured once, and kept for this device and driver. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import type { DeviceName } from '../onnx/device.ts';
import { measureInProcess } from '../onnx/self-test/process.ts';
import type { ProductForm, ProductTimes } from '../onnx/self-test/products.ts';
import type { SelfTest } from '../onnx/self-test.ts';

export type { ProductTimes } from '../onnx/self-test/products.ts';

/** @param folder where they are kept; a folder that cannot be written means measuring in every process */
export async function productTimes(
  device: DeviceName,
  { threads, folder }: { threads: number; folder: string },
  { half, widened, blocks8, blocks4 }: Pick<SelfTest, 'half' | 'widened' | 'blocks8' | 'blocks4'>,
): Promise<ProductTimes> {
  const able: Record<ProductForm, boolean> = {
    f32: true,
    f16: half || widened,
    'int8-blocks': blocks8,
    int4: blocks4,
  };
  const forms = (Object.keys(able) as ProductForm[]).filter((form) => able[form]);
  const key = createHash('sha256')
    .update(JSON.stringify([device, forms, half, driver()]))
    .digest('hex');
  const file = path.join(folder, `products-${key.slice(0, 16)}.json`);
  const known = read(file);
  if (known) return known;
  const times = await measureInProcess(device, { threads, forms, half });
  if (times.f32 !== undefined) write(file, times);
  return times;
}

function read(file: string): ProductTimes | undefined {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8')) as ProductTimes;
  } catch {
    return undefined;
  }
}

function write(file: string, times: ProductTimes): void {
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    const partial = `${file}.${process.pid}`;
    fs.writeFileSync(partial, JSON.stringify(times));
    fs.renameSync(partial, file);
  } catch {
    // The times serve this process all the same.
  }
}

const folders = ['/etc/vulkan/icd.d', '/usr/share/vulkan/icd.d'];

/** Names that change with the card, the driver and the runtime, as far as the system gives them. */
function driver(): string[] {
  const runtime = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  const { VK_DRIVER_FILES: named, CUDA_VISIBLE_DEVICES: cards = '' } = process.env;
  const files = named?.split(path.delimiter) ?? folders.flatMap((folder) => list(folder));
  return [
    ...[runtime.version, os.platform(), os.release(), os.cpus()[0]?.model ?? '', cards],
    ...files.map((file) => text(file) + stamp(libraryOf(file))),
    text('/proc/driver/nvidia/version'),
    ...list('/sys/class/drm').map((card) => text(path.join(card, 'device/device'))),
  ];
}

function list(folder: string): string[] {
  try {
    return fs
      .readdirSync(folder)
      .sort()
      .map((name) => path.join(folder, name));
  } catch {
    return [];
  }
}

function text(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** The library that a Vulkan driver's file names, where it names its place. */
function libraryOf(file: string): string {
  try {
    const { ICD } = JSON.parse(text(file)) as { ICD?: { library_path?: string } };
    return ICD?.library_path ?? '';
  } catch {
    return '';
  }
}

function stamp(file: string): string {
  try {
    const { size, mtimeMs } = fs.statSync(file);
    return `${size} ${mtimeMs}`;
  } catch {
    return '';
  }
}
