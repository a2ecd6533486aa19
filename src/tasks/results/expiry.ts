/** Deletes expired tasks and images. */

import type { Log } from '../../log.ts';
import type { AssetStore } from '../../store/assets.ts';
import type { Clock } from '../../store/clock.ts';
import type { TaskStore } from '../../store/tasks.ts';

export type ExpiryOptions = {
  clock: Clock;
  tasks: TaskStore;
  assets: AssetStore;
  /** Milliseconds for which tasks and images are kept after their last use. */
  retention: number;
  log: Log;
};

/** Milliseconds between two sweeps. An expired image is refused from its expiry on; the sweep removes its file. */
const sweepInterval = 60_000;

export class Expiry {
  readonly #options: ExpiryOptions;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ExpiryOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#sweep();
    this.#timer = setInterval(() => void this.#sweep(), sweepInterval);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #sweep(): Promise<void> {
    const { clock, tasks, assets, retention, log } = this.#options;
    try {
      tasks.sweep(retention);
      await assets.sweep(retention);
      clock.save();
    } catch (error) {
      log.error('Expired tasks and images could not be removed; the next sweep tries again.', { error });
    }
  }
}
