/** How long images take lately, and from it how long a client does well to wait when there is no room for its task. */

/** Seconds per image until the first is made. */
const initialSeconds = 5;
/** Weight of the newest image in the moving average: about the last four count. */
const weight = 0.25;
const [shortest, longest] = [1, 60];

export class Pace {
  /** Images that are made at once. */
  readonly #width: () => number;
  #seconds: number | undefined;

  constructor(width: () => number = () => 1) {
    this.#width = width;
  }

  /** An image was made. */
  note(seconds: number): void {
    this.#seconds =
      this.#seconds === undefined ? seconds : this.#seconds + weight * (seconds - this.#seconds);
  }

  /** Whole seconds, 1 to 60, in which what is in the queue now is made. */
  retryAfter(depth: number): number {
    const seconds = Math.ceil(
      (Math.max(1, depth) * (this.#seconds ?? initialSeconds)) / Math.max(1, this.#width()),
    );
    return Math.min(Math.max(seconds, shortest), longest);
  }
}
