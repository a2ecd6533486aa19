/** Time, processor time and memory of a piece of work, phase by phase. */
import { usageOf } from './process-tree.ts';

/** Bytes and seconds. */
export type Phase = { name: string; seconds: number; processor: number; peak: number; rest: number };

/** Milliseconds between two looks at the memory: a peak that lasts less is missed. */
const interval = 100;

export class Phases {
  readonly ended: Phase[] = [];
  private readonly timer: NodeJS.Timeout;
  private begin = performance.now();
  /** Seconds at the beginning of the phase, and at the last look. */
  private spent = 0;
  private processor = 0;
  private peak = 0;
  private readonly own: boolean;

  /** @param own whether this process belongs to the work, and not its descendants alone */
  constructor(own: boolean) {
    this.own = own;
    this.look();
    this.spent = this.processor;
    this.timer = setInterval(() => this.look(), interval);
  }

  end(name: string): Phase {
    const rest = this.look();
    const seconds = (performance.now() - this.begin) / 1000;
    const processor = this.processor - this.spent;
    const phase = { name, seconds, processor, peak: this.peak, rest };
    this.ended.push(phase);
    this.begin = performance.now();
    this.peak = rest;
    this.spent = this.processor;
    return phase;
  }

  close(): void {
    clearInterval(this.timer);
  }

  private look(): number {
    const { memory, processor } = usageOf(process.pid, this.own);
    this.peak = Math.max(this.peak, memory);
    // A process that has ended since the last look took its own away.
    this.processor = Math.max(this.processor, processor);
    return memory;
  }
}
