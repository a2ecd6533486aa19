/** imageInference: resolve → plan → accept, then each image when it is finished, or an acknowledgement. */

import { randomUUID } from 'node:crypto';
import { apiError } from '../../api/errors.ts';
import type { PendingReply } from '../../api/results.ts';
import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import type { EnginePool } from '../../engine/engine.ts';
import type { Log } from '../../log.ts';
import type { ModelStore } from '../../store/models.ts';
import type { Acceptance } from '../accept/acceptance.ts';
import { checkReceivers, refuseRepeat } from '../accept/check-task.ts';
import { isAwaited } from '../accept/is-awaited.ts';
import { refuseSlow } from '../accept/refuse-slow.ts';
import type { Forecaster } from '../forecast/forecasts.ts';
import type { Sources } from '../inputs/image-source.ts';
import { resolveInputs } from '../inputs/resolve.ts';
import { type Arithmetic, makePlans } from '../plan/plan.ts';
import { awaitResults, type WaitOptions } from '../results/wait.ts';
import type { Call } from './handler.ts';

type Uses = WaitOptions & {
  sources: Sources;
  models: ModelStore;
  arithmetic: Arithmetic;
  engines: Pick<EnginePool, 'refusal'>;
  acceptance: Acceptance;
  forecasts: Forecaster;
  log: Log;
};

/** Longest delay of a timer of Node.js, in milliseconds: 25 days. */
const longestTimer = 2 ** 31 - 1;

export async function* imageInference(
  task: ImageInferenceTask,
  { caller, wire }: Call,
  uses: Uses,
): AsyncGenerator<PendingReply> {
  const { tracker, sources, models, arithmetic, acceptance, engines } = uses;
  const { taskType, taskUUID, outputType } = task;
  const { account, follower } = caller;
  const deadline = performance.now() + (caller.patient ? longestTimer : uses.syncTimeout);
  const uuid = randomUUID();
  refuseRepeat(task, account, uses);
  using _following = follower && tracker.follow(uuid, follower);
  {
    using claim = tracker.claim({ account, taskUUID }, { uuid, results: task.numberResults });
    await checkReceivers(task, sources.fetch);
    const inputs = await resolveInputs(task, sources, { account, signal: claim.signal });
    const plans = makePlans(task, inputs, { models, arithmetic });
    // The plans of a task differ only in their seeds.
    const refusal = engines.refusal(plans[0]!.plan);
    if (refusal !== undefined) throw apiError('serverUnavailable', refusal, { taskType, taskUUID });
    if (isAwaited(task, caller) && !caller.patient) await refuseSlow(task, plans, uses);
    await acceptance.accept(task, plans, { caller, wire, uuid, signal: claim.signal });
    follower?.onAccept();
    for (const { code, message } of plans[0]!.warnings) uses.log.warn(message, { taskUUID, code });
  }
  if (!isAwaited(task, caller)) {
    yield { item: { taskType, taskUUID } };
  } else {
    yield* awaitResults({ uuid, taskType, taskUUID, outputType, deadline }, caller, uses);
  }
}
