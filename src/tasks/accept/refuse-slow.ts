import { apiError } from '../../api/errors.ts';
import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import { totalSeconds } from '../../engine/forecast/forecast.ts';
import type { Forecaster } from '../forecast/forecasts.ts';
import { formatDuration } from '../forecast/progress-text.ts';
import type { PlannedImage } from '../plan/plan.ts';

/** A step cache may leave out most evaluations of the network. */
const leastShareWithCache = 0.25;

/**
 * Refuses a task whose client would wait in vain: its images alone, without those before it in the queue, take longer than
 * a request may wait.
 *
 * @throws RetouchError `unsupportedDeliveryMethod`
 */
export async function refuseSlow(
  { taskType, taskUUID }: ImageInferenceTask,
  images: readonly PlannedImage[],
  { forecasts, syncTimeout }: { forecasts: Forecaster; syncTimeout: number },
): Promise<void> {
  const { plan } = images[0]!;
  const forecast = await forecasts.of(plan);
  if (!forecast) return;
  const image = totalSeconds(forecast) * (plan.cache ? leastShareWithCache : 1);
  const all = image * images.length;
  if (all * 1000 <= syncTimeout) return;
  const atLeast = plan.cache ? 'at least' : 'about';
  const count = images.length === 1 ? 'this image takes' : `these ${images.length} images take`;
  const steps = `${plan.steps} steps of ${formatDuration(forecast.step)}`;
  const message =
    `On this machine ${count} ${atLeast} ${formatDuration(all)} (${steps}), and a sync request may wait ${formatDuration(syncTimeout / 1000)}. ` +
    "Send deliveryMethod 'async' and ask for the result with getResponse, or give a webhookURL; fewer steps or a smaller size take less.";
  throw apiError('unsupportedDeliveryMethod', message, {
    ...{ parameter: 'deliveryMethod', taskType, taskUUID },
    allowedValues: ['async'],
  });
}
