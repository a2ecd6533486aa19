/** The moving average of the time per image, and the `Retry-After` for a task that finds the queue full. */

/** Seconds per image until the first is made. */
const initialSeconds = 5;
/** Weight of the newest image in the moving average: about the last four count. */
const weight = 0.25;
const [shortest, longest] = [1, 60];

export class Pace {
  /** Number of images that are made concurrently. */
  readonly #width: () => number;
  #seconds: number | undefined;

  constructor(width: () => number = () => 1) {
    this.#width = width;
  }

  /** Call after an image was made. */
  note(seconds: number): void {
    this.#seconds =
      this.#seconds === undefined ? seconds : this.#seconds + weight * (seconds - this.#seconds);
  }

  /** Whole seconds, 1 to 60, until the images that are queued now are made. */
  retryAfter(depth: number): number {
    const seconds = Math.ceil(
      (Math.max(1, depth) * (this.#seconds ?? initialSeconds)) / Math.max(1, this.#width()),
    );
    return Math.min(Math.max(seconds, shortest), longest);
  }
}
