/** How long images will take: reckoned from the model's sizes and a measurement of the machine, corrected by what images took. */
import { askRates } from '../../engine/forecast/ask.ts';
import {
  type Forecast,
  forecast,
  type ImageWork,
  imageWork,
  totalOperations,
} from '../../engine/forecast/forecast.ts';
import { type Measurable, measurable, type Rates } from '../../engine/forecast/rates.ts';
import type { Components } from '../../engine/networks/components.ts';
import type { EngineEvent, Plan } from '../../engine/plan.ts';

/** Operations below which an image is made within a minute on any machine, so that a forecast tells nothing. */
export const leastOperations = 1e12;

type Phase = 'encode' | 'step' | 'decode';
const phases = ['encode', 'step', 'decode'] as const satisfies readonly Phase[];

export type ForecastOptions = {
  threads: number;
  /** Tests give rates of their own. */
  measure?: (precisions: readonly Measurable[], threads: number) => Promise<Rates | undefined>;
};

export type Forecaster = Pick<Forecasts, 'of' | 'note'>;

/** Where images are made on machines that nobody measured. */
export const noForecasts: Forecaster = { of: async () => undefined, note: async () => {} };

export class Forecasts {
  readonly #options: Required<ForecastOptions>;
  readonly #components = new Map<string, Promise<Components | undefined>>();
  readonly #rates = new Map<Measurable, Promise<Rates | undefined>>();
  /** Measured seconds for each one reckoned, by model, arithmetic and phase. */
  readonly #corrections = new Map<string, number>();

  constructor(options: ForecastOptions) {
    this.#options = { measure: askRates, ...options };
  }

  /** Undefined for images that are made in no time, and where the device cannot be measured. Never throws. */
  async of(plan: Plan): Promise<Forecast | undefined> {
    const reckoned = await this.#reckon(plan);
    if (!reckoned) return undefined;
    const corrected = { ...reckoned };
    for (const phase of phases) corrected[phase] *= this.#corrections.get(keyOf(plan, phase)) ?? 1;
    return corrected;
  }

  /** Learns from an image that was made; a step cache's steps say nothing of others. */
  async note(plan: Plan, event: EngineEvent): Promise<void> {
    if (plan.cache || plan.loras.length > 0) return;
    const [phase, milliseconds] = phaseOf(event);
    // The first step also pays for memory that the later ones find.
    if (!phase || (event.type === 'step-end' && event.index === 0 && event.steps > 1)) return;
    const reckoned = await this.#reckon(plan);
    if (reckoned) this.#corrections.set(keyOf(plan, phase), milliseconds / 1000 / reckoned[phase]);
  }

  async #reckon(plan: Plan): Promise<Forecast | undefined> {
    const work = await this.#work(plan);
    if (!work || totalOperations(work) < leastOperations) return undefined;
    const precision = await this.#precision(plan);
    if (!precision) return undefined;
    // Weights in four bits are partly multiplied in eight.
    const products: Measurable[] = precision === 'int4' ? ['int4', 'int8'] : [precision];
    const rates = this.#rates.get(precision) ?? this.#options.measure(products, this.#options.threads);
    this.#rates.set(precision, rates);
    const measured = await rates;
    return measured && forecast(work, measured, precision);
  }

  async #work(plan: Plan): Promise<ImageWork | undefined> {
    const components = await this.#open(plan.model);
    return components && imageWork(components, plan);
  }

  /** Files that cannot be opened are the engine's to report. */
  #open(model: Plan['model']): Promise<Components | undefined> {
    const known = this.#components.get(model.air);
    if (known) return known;
    const opening = import('../../engine/networks/components.ts')
      .then(({ openComponents }) => openComponents(model))
      .catch(() => undefined);
    this.#components.set(model.air, opening);
    return opening;
  }

  async #precision({ model, numerics }: Plan): Promise<Measurable | undefined> {
    const components = await this.#open(model);
    if (!components || numerics.device !== 'cpu') return undefined;
    const { choosePrecision } = await import('../../engine/networks/precision.ts');
    const all = { half: false, widened: false, int8: true, blocks8: true, blocks4: true };
    const { precision } = numerics;
    const { hidden } = components.transformer.config;
    const candidates = { hidden, fits: () => true, times: {} };
    const chosen = precision === 'f16' ? 'f32' : choosePrecision(numerics, candidates, all);
    return measurable.find((name) => name === chosen);
  }
}

function phaseOf(event: EngineEvent): [Phase | undefined, number] {
  switch (event.type) {
    case 'encode-end':
      return ['encode', event.milliseconds];
    case 'step-end':
      return ['step', event.milliseconds];
    case 'decode-end':
      return ['decode', event.milliseconds];
    default:
      return [undefined, 0];
  }
}

function keyOf({ model, numerics }: Plan, phase: Phase): string {
  return [model.air, numerics.device, numerics.precision, phase].join(' ');
}
