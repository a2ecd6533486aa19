/** Time, processor time and memory of a piece of work, phase by phase. */
import { usageOf } from './process-tree.ts';

/** Bytes and seconds; `mapped` are the file pages at the moment of the peak, which the kernel takes back when it needs memory. */
export type Phase = {
  name: string;
  seconds: number;
  processor: number;
  peak: number;
  mapped: number;
  rest: number;
};

/** Milliseconds between two looks at the memory: a peak that lasts less is missed. */
const interval = 100;
/** Of the time at most: counting the pages of a large process takes long. */
const share = 0.02;

export class Phases {
  readonly ended: Phase[] = [];
  private timer: NodeJS.Timeout;
  private begin = performance.now();
  /** Seconds at the beginning of the phase, and at the last look. */
  private spent = 0;
  private processor = 0;
  private peak = 0;
  private mapped = 0;
  private readonly own: boolean;

  /** @param own whether this process belongs to the work, and not its descendants alone */
  constructor(own: boolean) {
    this.own = own;
    this.look();
    this.spent = this.processor;
    this.timer = setTimeout(() => this.lookAgain(), interval);
  }

  end(name: string): Phase {
    const rest = this.look();
    const seconds = (performance.now() - this.begin) / 1000;
    const processor = this.processor - this.spent;
    const phase = { name, seconds, processor, peak: this.peak, mapped: this.mapped, rest };
    this.ended.push(phase);
    this.begin = performance.now();
    this.peak = rest;
    this.mapped = 0;
    this.spent = this.processor;
    return phase;
  }

  close(): void {
    clearTimeout(this.timer);
  }

  private lookAgain(): void {
    const begin = performance.now();
    this.look();
    const pause = Math.max(interval, (performance.now() - begin) / share);
    this.timer = setTimeout(() => this.lookAgain(), pause);
  }

  private look(): number {
    const { memory, mapped, processor } = usageOf(process.pid, this.own);
    if (memory >= this.peak) [this.peak, this.mapped] = [memory, mapped];
    // A process that has ended since the last look took its own away.
    this.processor = Math.max(this.processor, processor);
    return memory;
  }
}
