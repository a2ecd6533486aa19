/** The memory of a GPU, where the system tells it: ONNX Runtime does not. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { DeviceName } from '../plan.ts';
import { defaultMemoryLimit } from './limits.ts';

/** Where to ask; tests answer themselves. */
type MemorySources = {
  /** Output of `nvidia-smi` with these arguments; undefined without the program. */
  nvidia(args: readonly string[]): string | undefined;
  /** Bytes of each AMD card's own memory. */
  amd(): number[];
};

const system: MemorySources = {
  nvidia(args) {
    try {
      return execFileSync('nvidia-smi', args, {
        encoding: 'utf8',
        timeout: 10_000,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    } catch {
      return undefined;
    }
  },
  amd() {
    const folder = '/sys/class/drm';
    const cards = fs.existsSync(folder)
      ? fs.readdirSync(folder).filter((name) => /^card\d+$/.test(name))
      : [];
    const files = cards.map((card) => path.join(folder, card, 'device/mem_info_vram_total'));
    return files.filter((file) => fs.existsSync(file)).map((file) => Number(fs.readFileSync(file, 'utf8')));
  },
};

/**
 * Bytes of the device's own memory. A WebGPU adapter is chosen by the system, so its memory is known only where the machine
 * has one card; undefined elsewhere and for software devices, whose memory is the machine's.
 */
export function deviceMemory(
  { device, index }: { device: DeviceName; index: number },
  sources = system,
): number | undefined {
  if (device === 'cpu') return undefined;
  // An empty CUDA_VISIBLE_DEVICES hides all cards; nvidia-smi counts them as the driver does, whatever is visible.
  const query = ['--query-gpu=memory.total', '--format=csv,noheader,nounits'];
  const nvidia = (sources.nvidia(query) ?? '')
    .split('\n')
    .filter((line) => /^\d+$/.test(line.trim()))
    .map((line) => Number(line) * 2 ** 20);
  if (device === 'cuda') return nvidia[visibleCard(index)];
  if (isSoftware()) return undefined;
  const cards = [...nvidia, ...sources.amd()];
  return cards.length === 1 ? cards[0] : undefined;
}

function visibleCard(index: number): number {
  const visible = process.env.CUDA_VISIBLE_DEVICES?.split(',').map(Number) ?? [];
  return visible[index] ?? index;
}

/** Whether the Vulkan driver that is named computes on the CPU. */
function isSoftware(): boolean {
  return /lvp_icd|lavapipe|swiftshader/i.test(process.env.VK_DRIVER_FILES ?? '');
}

/** A tenth of a GPU's memory stays for the display, the driver and what its allocator cannot use. */
const shareOfDevice = 0.9;

/**
 * Bytes that an engine may use by default: of its GPU's memory where that is known, else its part of the machine's.
 *
 * @param count engines that share the machine's memory
 */
export function engineMemory(device: { device: DeviceName; index: number }, count: number): number {
  const memory = deviceMemory(device);
  return memory === undefined ? Math.floor(defaultMemoryLimit() / count) : Math.floor(memory * shareOfDevice);
}
