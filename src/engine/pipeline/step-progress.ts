/** Progress of the current step, by the computed blocks of the network. */
import type { EngineEvent } from '../plan.ts';

/** Milliseconds between two reports: a step of a small model takes less time than a report. */
const interval = 1000;

export type StepShape = {
  steps: number;
  /** Blocks of the network. */
  blocks: number;
  /** Passes through the network in a step; some samplers take fewer in the first or the last. */
  passes: number;
};

export class StepProgress {
  private readonly shape: StepShape;
  private readonly now: () => number;
  /** Steps that have ended, which is the index of the current one. */
  step = 0;
  private pass = -1;
  private done = 0;
  private told: number;

  constructor(shape: StepShape, now = () => performance.now()) {
    this.shape = shape;
    this.now = now;
    this.told = now();
  }

  beginPass(): void {
    this.pass++;
    this.done = 0;
  }

  /** Counts the computed blocks of the current pass; returns whether a report is due. */
  note(done: number): boolean {
    this.done = done;
    const now = this.now();
    if (now - this.told < interval) return false;
    this.told = now;
    return true;
  }

  endStep(): void {
    this.step++;
    this.pass = -1;
    this.told = this.now();
  }

  describe(): EngineEvent & { type: 'stage-progress' } {
    const { steps, blocks, passes } = this.shape;
    const pass = passes > 1 ? `, pass ${this.pass + 1} of ${passes}` : '';
    return {
      type: 'stage-progress',
      stage: 'denoise',
      message: `step ${this.step + 1} of ${steps}${pass}, ${this.done} of ${blocks} blocks`,
      // Below 1: the step ends with its own event.
      fraction: Math.min((this.pass + this.done / blocks) / passes, 0.99),
    };
  }
}
