/** The rules of every step cache that count steps: warm-up, window and the limit of reuse in a row. */
import type { CacheWindow, Decider } from './types.ts';

/**
 * One pass of one image. Counts steps, not evaluations: some samplers evaluate twice a step, and one reuse makes it a
 * step with reuse.
 *
 * The first and the last step are always computed: the first has nothing to reuse, and no later step corrects the last.
 */
export class CacheClock {
  private readonly window: CacheWindow;
  private readonly steps: number;
  private readonly decider: Decider;
  private step = -1;
  /** Consecutive steps with reuse before this one. */
  private row = 0;
  private reusedInStep = false;
  private stale = false;

  constructor(window: CacheWindow, steps: number, decider: Decider) {
    this.window = window;
    this.steps = steps;
    this.decider = decider;
  }

  /** Invalidates the cache: the network has changed, so the next evaluation must be computed. */
  refresh(): void {
    this.stale = true;
  }

  /**
   * Whether the evaluation reuses the cached residual.
   *
   * @param step the step it belongs to, from 0
   * @param distance to the signal that is kept; undefined when none is
   */
  decide(step: number, distance: number | undefined): boolean {
    this.moveTo(step);
    const { from, to, maxConsecutive } = this.window;
    const inside = step > 0 && step < this.steps - 1 && step >= from && step < to;
    const may = inside && this.row < maxConsecutive && !this.stale && distance !== undefined;
    const reuses = may && this.decider.allows(distance);
    this.reusedInStep ||= reuses;
    if (!reuses) this.decider.computed();
    this.stale = false;
    return reuses;
  }

  private moveTo(step: number): void {
    if (step === this.step) return;
    this.row = this.reusedInStep ? this.row + 1 : 0;
    this.reusedInStep = false;
    this.step = step;
  }
}
