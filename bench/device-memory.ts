/** The most memory that a device held during some work, sampled while it goes on. */
import { execFileSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';

/** Milliseconds between samples. */
const interval = 25;

/**
 * The process's own pages, which a software device's buffers are among; weights that are read from a mapped file are not.
 * ONNX Runtime blocks this thread, so another one looks.
 */
const watcher = `
  const fs = require('node:fs');
  const { workerData: { peak, interval } } = require('node:worker_threads');
  const counts = new Float64Array(peak);
  setInterval(() => {
    const text = fs.readFileSync('/proc/self/status', 'utf8');
    const kib = (name) => Number(new RegExp(name + ':\\s+(\\d+)').exec(text)?.[1] ?? 0);
    counts[0] = Math.max(counts[0], 1024 * (kib('RssAnon') + kib('RssShmem')));
  }, interval);
`;

export class MemoryWatch {
  private readonly peak = new Float64Array(new SharedArrayBuffer(8));
  private readonly worker: Worker | undefined;

  constructor() {
    if (process.platform === 'linux')
      this.worker = new Worker(watcher, { eval: true, workerData: { peak: this.peak.buffer, interval } });
  }

  /** MiB at most since the last call; of an NVIDIA card what its driver says is used now, by all processes. */
  take(): number | string {
    const card = nvidiaUsed();
    const bytes = this.peak[0]!;
    this.peak[0] = 0;
    if (card !== undefined) return card;
    return bytes > 0 ? Math.round(bytes / 2 ** 20) : 'unknown';
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
