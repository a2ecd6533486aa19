/**
 * The most memory that a device held during some work, sampled while it goes on: the process's own pages, which a software
 * device's buffers are among. Weights that are read from a mapped file are not. Mesa's lavapipe maps all buffers
 * from one file in memory (memfd_create), so that they can be counted as a GPU's driver would count them.
 */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

/** MiB at most; `buffers` are the device's own, where they can be told from the rest of the process. */
export type Memory = { all: number | undefined; buffers: number | undefined };

export class MemoryWatch {
  private readonly peak = new Float64Array(new SharedArrayBuffer(16));
  private readonly worker: Worker | undefined;

  constructor() {
    if (process.platform === 'linux')
      this.worker = new Worker(new URL('./device-memory-watcher.ts', import.meta.url), {
        execArgv: [],
        workerData: { peak: this.peak.buffer },
      });
  }

  /** Until the first sample, which has the memory of the thread that takes it too. */
  async settled(): Promise<void> {
    while (this.worker && this.peak[0] === 0) await sleep(10);
  }

  /** The most since the last call; of an NVIDIA card what its driver says is used now, by all processes. */
  take(): Memory {
    const card = nvidiaUsed();
    const [all, buffers] = [...this.peak].map((bytes) => Math.round(bytes / 2 ** 20) || undefined);
    this.peak.fill(0);
    return card === undefined ? { all, buffers } : { all: card, buffers: undefined };
  }

  async end(): Promise<void> {
    await this.worker?.terminate();
  }
}

function nvidiaUsed(): number | undefined {
  try {
    const args = ['--query-gpu=memory.used', '--format=csv,noheader,nounits'];
    const text = execFileSync('nvidia-smi', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return /^\d+$/m.test(text) ? Math.max(...text.trim().split('\n').map(Number)) : undefined;
  } catch {
    return undefined;
  }
}
