/** How long an edit takes on this machine, in each precision: reckoned from a measurement of about two seconds. */

import type { Config } from '../../config.ts';
import { askRates } from '../../engine/forecast/ask.ts';
import { forecast, imageWork, totalOperations, totalSeconds } from '../../engine/forecast/forecast.ts';
import { measurable, type Rates } from '../../engine/forecast/rates.ts';
import { plainPlan } from '../../engine/plan.ts';
import { defaultThreads } from '../../engine/process/limits.ts';
import { RetouchError } from '../../error.ts';
import type { Model, ModelStore } from '../../store/models.ts';
import { leastOperations } from '../../tasks/forecast/forecasts.ts';
import { formatDuration } from '../../tasks/forecast/progress-text.ts';
import type { Finding } from './doctor-checks.ts';

/** One finding for each model that takes long, on the processor: other devices are not measured. */
export async function* forecastEdits(
  { device, threads }: Config,
  store: ModelStore,
): AsyncGenerator<Finding> {
  if (device !== 'cpu') return;
  let rates: Rates | undefined;
  for (const model of store.models) {
    const work = await editWork(model);
    if (!work || totalOperations(work) < leastOperations) continue;
    rates ??= await askRates(measurable, threads || defaultThreads());
    if (!rates) return;
    const measured = rates;
    const times = measurable.map((precision) => {
      const found = forecast(work, measured, precision);
      return `${formatDuration(totalSeconds(found))} in ${precision} (${formatDuration(found.step)} a step)`;
    });
    const text = `${model.air}, an edit at 1024×1024 with ${work.steps} steps, without loading: about ${times.join(', ')}`;
    yield { level: 'good', name: 'Time', text };
  }
}

/** Undefined for files that cannot be opened: the model's own line says why. */
async function editWork(model: Model): Promise<ReturnType<typeof imageWork> | undefined> {
  const { openComponents } = await import('../../engine/networks/components.ts');
  try {
    const components = await openComponents(model.source);
    const size = { width: 1024, height: 1024, references: [undefined], steps: model.defaults.steps };
    return imageWork(components, { ...plainPlan, ...size });
  } catch (error) {
    if (error instanceof RetouchError) return undefined;
    throw error;
  }
}
