/** How long an image takes, from the networks' sizes and the speed of the machine. */
import { referenceSize, type Size } from '../image/sizes.ts';
import type { Components } from '../networks/components.ts';
import { imageTokens, textTokens } from '../networks/token-counts.ts';
import type { Plan } from '../plan.ts';
import { samplers } from '../samplers/index.ts';
import type { Measurable, Rates } from './rates.ts';
import {
  addWork,
  decoderWork,
  encoderWork,
  textWork,
  timesWork,
  transformerWork,
  type Work,
} from './work.ts';

/** Seconds, without loading. */
export type Forecast = { encode: number; step: number; steps: number; decode: number };

/** The same in operations. */
export type ImageWork = { encode: Work; step: Work; steps: number; decode: Work };

type PlannedSize = Pick<Plan, 'width' | 'height' | 'steps' | 'sampler' | 'trueCfg' | 'decoder'> & {
  references: readonly unknown[];
};

export function imageWork(components: Components, plan: PlannedSize): ImageWork {
  const { t5, transformer, autoencoder } = components;
  const { width, height, steps } = plan;
  const size: Size = { width, height };
  const image = imageTokens(components, size);
  const reference = imageTokens(components, referenceSize);
  const text = textTokens(components);
  const passes = plan.trueCfg > 1 ? 2 : 1;
  const evaluations = (samplers[plan.sampler].evaluations(steps) / steps) * passes;
  const pass = transformerWork(transformer.config, text + image + reference * plan.references.length);
  return {
    encode: addWork(
      timesWork(textWork(t5.config, text), passes),
      timesWork(encoderWork(autoencoder.config, referenceSize), plan.references.length),
    ),
    step: scaled(pass, evaluations),
    steps,
    decode: decoderWork(autoencoder.config, size),
  };
}

export function forecast(
  { encode, step, steps, decode }: ImageWork,
  rates: Rates,
  precision: Measurable,
): Forecast {
  const seconds = (work: Work) => secondsOf(work, rates, precision);
  // The autoencoder computes in f32 always; its linear layers are few.
  return { encode: seconds(encode), step: seconds(step), steps, decode: seconds(decode) };
}

export function totalSeconds({ encode, step, steps, decode }: Forecast): number {
  return encode + step * steps + decode;
}

export function totalOperations({ encode, step, steps, decode }: ImageWork): number {
  const count = ({ products, attention, convolutions }: Work) => products + attention + convolutions;
  return count(encode) + steps * count(step) + count(decode);
}

/** Bytes read and written to expand a weight: as four bits, as a float, and three times as eight bits. */
const expansionBytes = 14;

/** Four-bit weights that are expanded are multiplied as eight-bit ones. */
function secondsOf(work: Work, rates: Rates, precision: Measurable): number {
  const expands = precision === 'int4' && work.expanded > 0;
  const products = rates.products[expands ? 'int8' : precision] ?? Number.NaN;
  const expansion = expands ? expansionBytes * work.expanded : 0;
  return (
    work.products / products +
    work.attention / rates.attention +
    work.convolutions / rates.convolutions +
    (work.passes + expansion) / rates.passes
  );
}

function scaled(work: Work, factor: number): Work {
  const entries = Object.entries(work).map(([name, value]) => [name, value * factor]);
  return Object.fromEntries(entries) as Work;
}
