/** Resizing against Pillow: pil_lanczos.safetensors. */
import { resizeLanczos } from '../../../src/engine/image/resample.ts';
import { openSafetensors } from '../../../src/engine/weights/safetensors.ts';
import { readBytes } from '../../../src/engine/weights/stored.ts';
import { compared, type Lines } from './check.ts';

export async function* checkLanczos(file: string): Lines {
  const { tensors } = openSafetensors(file);
  const source = tensors.get('in');
  if (!source) return yield { name: 'pil_lanczos', skipped: 'there is no tensor named in' };
  const [height, width] = source.shape as [number, number];
  for (const [name, entry] of tensors) {
    if (name === 'in') continue;
    const [outHeight, outWidth] = entry.shape as [number, number];
    const found = resizeLanczos({ width, height, data: readBytes(source) }, outWidth, outHeight);
    yield compared(`pil_lanczos ${name}`, found.data, readBytes(entry), 0);
  }
}
