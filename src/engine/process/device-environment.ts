/** Environment variables of drivers that confine an engine's child to one of several devices of a kind. */
import path from 'node:path';
import { EngineError } from '../errors.ts';
import type { DeviceName } from '../plan.ts';

/**
 * ONNX Runtime's CUDA provider rounds the operands of f32 products to TF32 (10 bits) by default, and has no option for it in
 * Node: 3e-4 off, which the self-test refuses. NVIDIA's libraries obey this variable.
 */
const exactProducts = { NVIDIA_TF32_OVERRIDE: '0' };

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws RetouchError `deviceUnusable` when the environment names too few Vulkan drivers for the number */
export function deviceEnvironment(
  device: DeviceName,
  index: number,
  env: Environment,
): Record<string, string> {
  if (device === 'cuda') return { CUDA_VISIBLE_DEVICES: cudaCard(index, env), ...exactProducts };
  return device === 'webgpu' ? vulkanDriver(index, env) : {};
}

/** Numbers count the cards that this process may use, as CUDA does: `CUDA_VISIBLE_DEVICES=2,3` makes 1 the card 3. */
function cudaCard(index: number, { CUDA_VISIBLE_DEVICES: visible }: Environment): string {
  const cards = visible ? visible.split(',') : [];
  return cards[index]?.trim() ?? String(index);
}

/**
 * ONNX Runtime takes the adapter that Dawn prefers and has no option for another one. On Linux each driver is a file,
 * so that adapters of different drivers can be selected; several cards of one driver cannot.
 */
function vulkanDriver(index: number, { VK_DRIVER_FILES: files }: Environment): Record<string, string> {
  const drivers = files ? files.split(path.delimiter) : [];
  const driver = drivers[index];
  if (driver !== undefined) return { VK_DRIVER_FILES: driver };
  if (index === 0) return {};
  throw new EngineError(
    'deviceUnusable',
    `device webgpu:${index} cannot be used: VK_DRIVER_FILES names ${drivers.length} Vulkan drivers, expected at least ${index + 1}. ` +
      'It lists their JSON files, such as /usr/share/vulkan/icd.d/nvidia_icd.json, separated by colons; cards that share a driver cannot be told apart.',
    { device: `webgpu:${index}` },
  );
}
