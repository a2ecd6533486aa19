/** Progress of work that is counted in bytes of files, as a line of text: downloads, conversions. */

import { formatBytes } from '../../bytes.ts';
import { formatDuration } from '../../tasks/forecast/progress-text.ts';
import type { ProgressStream } from './progress-view.ts';

/** Window of the rate in milliseconds: a shorter one is noisy, a longer one lags. */
const window = 10_000;
const clearLine = '\r\x1b[K';

export type BytesProgressOptions = {
  /** Name of the work. */
  label: string;
  /** Bytes of all files. */
  total: number;
};

export class BytesProgress {
  readonly #stream: ProgressStream;
  readonly #total: number;
  readonly #label: string;
  readonly #now: () => number;
  readonly #sizes = new Map<string, number>();
  /** [time, bytes], the oldest first; two at least, since a layer may take longer to convert than the window. */
  #samples: [number, number][] = [];
  #shownAt = Number.NEGATIVE_INFINITY;
  #current = '';

  constructor(
    stream: ProgressStream,
    { label, total }: BytesProgressOptions,
    now: () => number = () => performance.now(),
  ) {
    this.#stream = stream;
    this.#label = label;
    this.#total = total;
    this.#now = now;
  }

  /** `path` has so many bytes now. The first report of a file counts the bytes of an earlier run. */
  report(path: string, bytes: number): void {
    const now = this.#now();
    const known = this.#sizes.get(path);
    this.#sizes.set(path, bytes);
    // Bytes of an earlier run do not count towards the rate.
    if (known === undefined || bytes < known) this.#samples = [];
    if (bytes > (known ?? 0)) this.#current = path;
    this.#samples.push([now, this.done]);
    this.#samples = this.#samples.filter(
      ([time], i) => now - time <= window || i >= this.#samples.length - 2,
    );
    if (now - this.#shownAt < (this.#stream.isTTY ? 100 : 10_000)) return;
    this.#shownAt = now;
    this.#show();
  }

  /** Writes the last state; a log keeps it. */
  end(): void {
    if (this.#stream.isTTY) this.#stream.write(clearLine);
    else this.#show();
  }

  get done(): number {
    return [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
  }

  #show(): void {
    const line = this.describe();
    if (!this.#stream.isTTY) this.#stream.write(`${this.#label}: ${line}\n`);
    else {
      const full = Math.round(24 * Math.min(this.done / Math.max(this.#total, 1), 1));
      const bar = '█'.repeat(full) + '░'.repeat(24 - full);
      const text = `${this.#label}  ${bar}  ${line}`.slice(0, Math.max((this.#stream.columns || 80) - 1, 0));
      this.#stream.write(`${clearLine}${text}`);
    }
  }

  /** `3.1 GiB of 31.5 GiB · 42.0 MiB/s · 11 min 32 s left · transformer/….safetensors` */
  describe(): string {
    const parts = [`${formatBytes(this.done)} of ${formatBytes(this.#total)}`];
    const [first] = this.#samples;
    const last = this.#samples.at(-1);
    const rate =
      first && last && last[0] > first[0] ? (last[1] - first[1]) / ((last[0] - first[0]) / 1000) : 0;
    if (rate > 0 && this.done < this.#total)
      parts.push(`${formatBytes(rate)}/s`, `${formatDuration((this.#total - this.done) / rate)} left`);
    if (this.#current !== '' && this.done < this.#total) parts.push(this.#current);
    return parts.join(' · ');
  }
}
