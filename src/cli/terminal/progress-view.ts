/** Shows progress on a stream: on a terminal one line that is redrawn, elsewhere an occasional plain line. */

import type { Forecast } from '../../engine/forecast/forecast.ts';
import type { EngineEvent } from '../../engine/plan.ts';
import { ImageProgress } from '../../tasks/forecast/image-progress.ts';
import { follow, formatPlain, formatProgress, isNews, noProgress, type Progress } from './progress.ts';

export type ProgressStream = { write(text: string): unknown; isTTY?: boolean; columns?: number };

const clearLine = '\r\x1b[K';

/** Milliseconds between two drawings of a terminal's line, and between two plain lines when no event comes. */
const [redrawInterval, plainInterval] = [500, 30_000];

export class ProgressView {
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  readonly #image: ImageProgress;
  #progress: Progress = noProgress;
  #written: Progress = noProgress;
  #writtenAt: number;

  constructor(stream: ProgressStream, now: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#now = now;
    this.#image = new ImageProgress(1, now);
    this.#writtenAt = now();
    if (stream.isTTY) this.#draw();
    this.#timer = setInterval(() => this.#tick(), redrawInterval);
    this.#timer.unref();
  }

  /** How long the image will take, as soon as it is known. */
  expect(forecast: Forecast | undefined): void {
    this.#image.expect(forecast);
  }

  follow(event: EngineEvent): void {
    this.#image.note(event);
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
    clearInterval(this.#timer);
    if (this.#stream.isTTY) this.#stream.write(clearLine);
  }

  /** The engine's thread computes for minutes between two events. */
  #tick(): void {
    if (this.#stream.isTTY) this.#draw();
    else if (this.#now() - this.#writtenAt >= plainInterval) this.#writeLine();
  }

  #draw(): void {
    const line = formatProgress(this.#progress, this.#stream.columns || 80, this.#image.state);
    this.#stream.write(`${clearLine}${line}`);
  }

  #writeLine(): void {
    this.#stream.write(`${formatPlain(this.#progress, this.#image.state)}\n`);
    this.#written = this.#progress;
    this.#writtenAt = this.#now();
  }
}
