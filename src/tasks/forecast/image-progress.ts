/**
 * How far an image is, from what the engine says and from the clock between its events: the engine's thread computes for
 * minutes at a time at full size.
 */
import type { Forecast } from '../../engine/forecast/forecast.ts';
import type { Bytes, EngineEvent, StageName } from '../../engine/plan.ts';

export type ProgressState = {
  phase: StageName;
  /** 0 … 99: the image itself is the hundredth. */
  percent: number;
  /** The work inside the phase, as the engine names it. */
  message?: string;
  /** Steps that are done, and all. */
  step: number;
  steps: number;
  /** Bytes of a file of converted weights, and their rate per second. */
  bytes?: Bytes & { rate?: number };
  /** Seconds that this phase has taken. */
  elapsed: number;
  /** Seconds until the image; absent where nothing is known of the machine yet. */
  left?: number;
};

/** Share of a part that the clock alone may call done. */
const mostByClock = 0.97;

/** Steps of the moving mean: the first ones are slower than the rest. */
const recentSteps = 5;

export class ImageProgress {
  #steps: number;
  readonly #now: () => number;
  #forecast: Forecast | undefined;
  #phase: StageName = 'load';
  #message: string | undefined;
  #fraction = 0;
  #isEncoded = false;
  #step = 0;
  /** Milliseconds of the last steps. */
  #recent: readonly number[] = [];
  /** Times at which the image, the phase, and the step or the file under way began. */
  readonly #begun: number;
  #phaseBegun: number;
  #partBegun: number;
  #bytes: (Bytes & { first: number }) | undefined;
  #percent = 0;

  constructor(steps: number, now: () => number = () => performance.now()) {
    this.#steps = steps;
    this.#now = now;
    this.#begun = now();
    this.#phaseBegun = this.#begun;
    this.#partBegun = this.#begun;
  }

  expect(forecast: Forecast | undefined): void {
    this.#forecast = forecast;
    if (forecast) this.#steps = forecast.steps;
  }

  note(event: EngineEvent): void {
    switch (event.type) {
      case 'stage-progress':
        this.#noteStage(event);
        break;
      case 'load-end':
        this.#enter('encode');
        break;
      case 'encode-end':
        this.#isEncoded = true;
        this.#enter('denoise');
        break;
      case 'step-end':
        this.#step = event.index + 1;
        this.#steps = event.steps;
        this.#recent = [...this.#recent, event.milliseconds].slice(-recentSteps);
        this.#fraction = 0;
        this.#message = undefined;
        this.#partBegun = this.#now();
        // Where memory is scarce the transformer was loaded after encoding.
        this.#enter(this.#step === event.steps ? 'decode' : 'denoise');
        break;
      default:
    }
  }

  get state(): ProgressState {
    const now = this.#now();
    const left = this.#left(now);
    const bytes = this.#bytes && withRate(this.#bytes, (now - this.#partBegun) / 1000);
    // It never goes back: a forecast may turn out too short.
    this.#percent = Math.max(this.#percent, this.#reckonPercent(now, left));
    return {
      phase: this.#phase,
      percent: this.#percent,
      ...(this.#message === undefined ? {} : { message: this.#message }),
      step: this.#step,
      steps: this.#steps,
      ...(bytes ? { bytes } : {}),
      elapsed: (now - this.#phaseBegun) / 1000,
      ...(left === undefined ? {} : { left }),
    };
  }

  #noteStage({ stage, message, fraction, bytes, loads }: EngineEvent & { type: 'stage-progress' }): void {
    // Previews are decoded between steps; the transformer may be loaded after the encoders have run.
    if (stage === 'decode' && this.#phase === 'denoise') return;
    if (stage !== this.#phase) this.#enter(stage);
    if (fraction >= 1 && !bytes) return;
    const begins = bytes && (!this.#bytes || message !== this.#message);
    if (begins) this.#partBegun = this.#now();
    this.#bytes = bytes && { ...bytes, first: begins ? bytes.done : this.#bytes!.first };
    this.#message = message;
    // Loading a network is no part of the work of the stage that needs it.
    this.#fraction = loads && stage !== 'load' ? 0 : fraction;
    if (stage === 'decode' && this.#fraction === 0) this.#partBegun = this.#now();
  }

  #enter(phase: StageName): void {
    if (phase === this.#phase) return;
    this.#phase = phase;
    this.#phaseBegun = this.#now();
    this.#partBegun = this.#phaseBegun;
    this.#message = undefined;
    this.#fraction = 0;
    this.#bytes = undefined;
  }

  /** Seconds of a step: of the last ones, or as forecast. */
  get #stepSeconds(): number | undefined {
    if (this.#recent.length === 0) return this.#forecast?.step;
    return this.#recent.reduce((sum, value) => sum + value, 0) / this.#recent.length / 1000;
  }

  #left(now: number): number | undefined {
    const step = this.#stepSeconds;
    if (step === undefined) return undefined;
    const { encode = 0, decode = 0 } = this.#forecast ?? {};
    const steps = this.#steps - this.#step;
    switch (this.#phase) {
      case 'load':
        return (this.#isEncoded ? 0 : encode) + steps * step + decode;
      case 'encode':
        return this.#rest(encode, now) + steps * step + decode;
      case 'denoise':
        return this.#rest(step, now) + Math.max(steps - 1, 0) * step + decode;
      case 'decode':
        return this.#fraction > 0 ? this.#restByShare(now) : this.#rest(decode, now);
      default:
        return 0;
    }
  }

  /** Seconds left of a part that takes so many: by the clock or by what is reported, whichever is further. */
  #rest(seconds: number, now: number): number {
    if (seconds === 0) return 0;
    const elapsed = (now - this.#partBegun) / 1000;
    const reported = this.#phase === 'denoise' ? this.#fraction : 0;
    return seconds * (1 - Math.max(reported, Math.min(elapsed / seconds, mostByClock)));
  }

  /** Seconds left of a part that tells its share every second or so, at the rate until now. */
  #restByShare(now: number): number {
    return (((now - this.#partBegun) / 1000) * (1 - this.#fraction)) / this.#fraction;
  }

  #reckonPercent(now: number, left: number | undefined): number {
    // Without a forecast the steps are the measure: loading before them and decoding after them have none.
    if (!this.#forecast || left === undefined) {
      const within = this.#phase === 'denoise' ? this.#fraction : 0;
      return Math.min(99, Math.floor((100 * (this.#step + within)) / this.#steps));
    }
    const elapsed = (now - this.#begun) / 1000;
    const loading = this.#phase === 'load' ? this.#loadLeft(now) : 0;
    return Math.min(99, Math.floor((100 * elapsed) / (elapsed + loading + left)));
  }

  /** Seconds left for the current file; the number of further files is unknown. */
  #loadLeft(now: number): number {
    return this.#fraction > 0 ? this.#restByShare(now) : (now - this.#partBegun) / 1000;
  }
}

function withRate(
  { done, total, first }: Bytes & { first: number },
  seconds: number,
): Bytes & { rate?: number } {
  return seconds > 0 && done > first ? { done, total, rate: (done - first) / seconds } : { done, total };
}

/** The fields that tell a client of an image that takes longer than it may be left without news. */
export function slowFields({ percent, left, elapsed }: ProgressState): {
  progress?: number;
  secondsLeft?: number;
} {
  if (left === undefined || left + elapsed < slow) return {};
  return { progress: percent, secondsLeft: Math.ceil(left) };
}

const slow = 2;
