/** Shows progress on a stream: on a terminal one line that is redrawn, elsewhere an occasional plain line. */

import type { EngineEvent } from '../../engine/plan.ts';
import { follow, formatPlain, formatProgress, isNews, noProgress, type Progress } from './progress.ts';

export type ProgressStream = { write(text: string): unknown; isTTY?: boolean; columns?: number };

const clearLine = '\r\x1b[K';

export class ProgressView {
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  #progress: Progress = noProgress;
  #written: Progress = noProgress;
  #writtenAt: number;

  constructor(stream: ProgressStream, now: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#now = now;
    this.#writtenAt = now();
    if (stream.isTTY) this.#draw();
  }

  follow(event: EngineEvent): void {
    this.#progress = follow(this.#progress, event);
    if (this.#stream.isTTY) this.#draw();
    else if (isNews(this.#written, this.#progress, this.#now() - this.#writtenAt)) this.#writeLine();
  }

  /** Writes a permanent line above the progress. */
  note(line: string): void {
    this.#stream.write(this.#stream.isTTY ? `${clearLine}${line}\n` : `${line}\n`);
    if (this.#stream.isTTY) this.#draw();
  }

  end(): void {
    if (this.#stream.isTTY) this.#stream.write(clearLine);
  }

  #draw(): void {
    this.#stream.write(`${clearLine}${formatProgress(this.#progress, this.#stream.columns || 80)}`);
  }

  #writeLine(): void {
    this.#stream.write(`${formatPlain(this.#progress)}\n`);
    this.#written = this.#progress;
    this.#writtenAt = this.#now();
  }
}
