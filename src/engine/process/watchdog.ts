/**
 * Detects a hung engine: one that is silent for much longer than ever before in the same activity. Reports within a step come
 * after very different numbers of blocks (the first block alone, then dozens), so a silence is counted as the time that
 * the whole step would take at its rate.
 */

import type { EngineEvent, Plan } from '../plan.ts';
import { firstPhase, phaseAfter, phaseText } from './phase.ts';

export type WatchdogOptions = {
  /** A silence of this many times the longest one measured, in a step the longest step, is a hang. */
  factor: number;
  /** Shortest limit of a silence in milliseconds. */
  least: number;
  /** The same for loading, whose time depends on the system's page cache. */
  leastLoad: number;
  /** For an activity that was never measured. */
  unmeasured: number;
};

export const watchdogDefaults: WatchdogOptions = {
  factor: 10,
  least: 60_000,
  leastLoad: 600_000,
  unmeasured: 1_800_000,
};

/** A silence is counted in this many ticks: a suspension of the whole server is one tick and not a hang. */
const ticks = 20;

/** A stage, or `load`; within other stages than the steps with the message, since each of their works has its own time. */
type Activity = string;

export class Watchdog {
  readonly #options: WatchdogOptions;
  /** Longest silence by model, arithmetic and activity: milliseconds for each pixel of the work. */
  readonly #longest = new Map<string, number>();

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /** Milliseconds that a silence in this activity of the plan may last. */
  allowance(plan: Plan, activity: Activity): number {
    const { factor, least, leastLoad, unmeasured } = this.#options;
    const longest = this.#longest.get(keyOf(plan, activity));
    if (longest === undefined) return unmeasured;
    return Math.max(activity === 'load' ? leastLoad : least, factor * longest * pixelsOf(plan));
  }

  measure(plan: Plan, activity: Activity, milliseconds: number): void {
    const key = keyOf(plan, activity);
    this.#longest.set(key, Math.max(this.#longest.get(key) ?? 0, milliseconds / pixelsOf(plan)));
  }

  /** `onHang` is called once, with a sentence. */
  watch(plan: Plan, onHang: (sentence: string) => void): Watch {
    return new Watch(this, plan, onHang);
  }
}

/** One watched run; the caller must end it. */
export class Watch {
  readonly #watchdog: Watchdog;
  readonly #plan: Plan;
  readonly #onHang: (sentence: string) => void;
  #phase = firstPhase;
  /** Activity after the last reported end, and reported inside of it. */
  #after: Activity = 'load';
  #inside: Activity | undefined;
  /** Share of the step that is done. */
  #done = 0;
  #since = performance.now();
  #left = ticks;
  #timer: NodeJS.Timeout | undefined;

  constructor(watchdog: Watchdog, plan: Plan, onHang: (sentence: string) => void) {
    this.#watchdog = watchdog;
    this.#plan = plan;
    this.#onHang = onHang;
    this.#listen();
  }

  /** A warning when the silence has lasted for half of its limit. */
  get stalled(): string | undefined {
    return this.#left <= ticks / 2 ? this.#sentence() : undefined;
  }

  note(event: EngineEvent): void {
    const shareOfStep = this.#shareOfStep(event);
    const share = this.#activity === 'step' ? shareOfStep : 1;
    if (share > 0)
      this.#watchdog.measure(this.#plan, this.#activity, (performance.now() - this.#since) / share);
    this.#phase = phaseAfter(event, this.#plan, this.#phase);
    this.#after = activityAfter(event) ?? this.#after;
    this.#inside = activityInside(event);
    this.#listen();
  }

  end(): void {
    clearInterval(this.#timer);
  }

  get #activity(): Activity {
    return this.#inside ?? this.#after;
  }

  /** The share of a step that was computed before the event; 0 where the event does not tell. */
  #shareOfStep(event: EngineEvent): number {
    const isStep = event.type === 'stage-progress' && event.stage === 'denoise' && !event.loads;
    if (!isStep && event.type !== 'step-end') return 0;
    const before = this.#done;
    const done = isStep ? event.fraction : 1;
    this.#done = done % 1;
    return done - before;
  }

  #listen(): void {
    clearInterval(this.#timer);
    this.#since = performance.now();
    this.#left = ticks;
    const tick = () => {
      if (--this.#left > 0) return;
      clearInterval(this.#timer);
      this.#onHang(this.#sentence());
    };
    this.#timer = setInterval(tick, this.#watchdog.allowance(this.#plan, this.#activity) / ticks);
    this.#timer.unref();
  }

  #sentence(): string {
    const seconds = (performance.now() - this.#since) / 1000;
    const limit = this.#watchdog.allowance(this.#plan, this.#activity) / 1000;
    return `The engine has been silent for ${seconds.toFixed(1)} s while ${phaseText(this.#phase)}; it is replaced after ${limit.toFixed(1)} s.`;
  }
}

/** A network is loaded in the stage that needs it first. */
function activityInside(event: EngineEvent): Activity | undefined {
  if (event.type !== 'stage-progress' || event.fraction >= 1) return undefined;
  if (event.loads) return 'load';
  // A face is painted in steps of an image about as large.
  return ['denoise', 'faces'].includes(event.stage) ? 'step' : `${event.stage}: ${event.message}`;
}

function activityAfter(event: EngineEvent): Activity | undefined {
  switch (event.type) {
    case 'load-end':
      return 'encode';
    case 'encode-end':
      return 'step';
    case 'step-end':
      return event.index + 1 < event.steps ? 'step' : 'decode';
    case 'decode-end':
    case 'faces-end':
    case 'image':
      return 'finish';
    default:
      return undefined;
  }
}

/** Times are compared within one model and arithmetic: a step of another takes a thousand times as long. */
function keyOf({ model, numerics }: Plan, activity: Activity): string {
  return [model.air, numerics.device, numerics.precision, activity].join(' ');
}

/** Pixels of the image and its references, which are resized to the image. */
function pixelsOf({ width, height, references }: Plan): number {
  return width * height * (1 + references.length);
}
