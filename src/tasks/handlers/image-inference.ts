/** imageInference: resolve → plan → accept, and then the images as they are made, or word that the task was accepted. */

import type { Reply } from '../../api/results.ts';
import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import { acceptTask, checkReceivers, refuseRepeat } from '../accept.ts';
import type { Context } from '../handler.ts';
import { resolveInputs } from '../inputs/resolve.ts';
import { makePlans, type PlannedImage } from '../plan/plan.ts';
import { awaitResults } from '../results/wait.ts';

export async function* imageInference(task: ImageInferenceTask, context: Context): AsyncGenerator<Reply> {
  const { parts, tracker, caller } = context;
  const deadline = performance.now() + parts.syncTimeout;
  const uuid = task.taskUUID.toLowerCase();
  refuseRepeat(task, context);
  using _following = caller.follower && tracker.follow(uuid, caller.follower);
  const claim = tracker.claim(uuid, caller.account, task.numberResults);
  try {
    await checkReceivers(task, context);
    const inputs = await resolveInputs(task, parts, { account: caller.account, signal: claim.signal });
    // The parser asked for it; models do not go away while the server runs.
    const model = parts.models.find(task.model)!;
    const planned = makePlans(task, inputs, model, parts.arithmetic, parts.models);
    const plans = planned.map((image) => withPreviews(image, caller.follower?.previews ?? 0));
    await acceptTask(task, plans, claim.signal, context);
    caller.follower?.onAccept();
  } finally {
    tracker.release(uuid);
  }
  if (task.deliveryMethod === 'async' || task.webhookURL !== undefined) {
    yield { item: { taskType: 'imageInference', taskUUID: task.taskUUID } };
  } else {
    yield* awaitResults(task, deadline, context);
  }
}

/** At most `count` previews, evenly spread over the steps before the last. */
function withPreviews({ plan, seed }: PlannedImage, count: number): PlannedImage {
  const previewEvery = count === 0 ? 0 : Math.ceil(plan.steps / (count + 1));
  return { plan: { ...plan, previewEvery }, seed };
}
