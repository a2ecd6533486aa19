/** The work of the queue: Plan → Image → Delivery, for one result. */

import { failure } from '../api/errors.ts';
import type { EngineEvent, Plan } from '../engine/plan.ts';
import { RetouchError } from '../error.ts';
import type { Work } from '../queue/queue.ts';
import type { StoreErrorCode } from '../store/errors.ts';
import type { Use } from '../store/usage.ts';
import { eventText } from './event-text.ts';
import { toFailure } from './failures.ts';
import type { Context } from './handler.ts';
import { readPlan } from './plan/plan-json.ts';
import { costOf } from './results/cost.ts';
import { type KnownTask, knownTask } from './results/lookup.ts';
import type { KeptItem } from './results/outcome.ts';
import { conclude, settle } from './results/settle.ts';
import { deliverImage } from './results/store-image.ts';
import { runPlan } from './run-plan.ts';

/** How often a process may end while it makes an image before the image is held to be the reason. */
const maxAttempts = 3;

export function createWork(context: Pick<Context, 'parts' | 'tracker'>): Work {
  const { parts, tracker } = context;

  type Made = { item: KeptItem; use: Use };

  async function make(task: KnownTask, result: string, planText: string, signal: AbortSignal): Promise<Made> {
    const plan = readPlan<Plan>(planText, await parts.inputs.read(task.uuid));
    let seconds = 0;
    const image = await runPlan(parts.engine, plan, signal, (event) => {
      tracker.setProgress(result, progressAfter(event) ?? tracker.progress(result));
      tracker.tell(task.uuid, result, event);
      const text = eventText(event);
      if (text) parts.log.info(text, { taskUUID: task.terms.taskUUID });
      if (event.type === 'image') seconds = event.milliseconds / 1000;
    });
    const { price } = task.terms;
    const { width, height, steps } = plan;
    const cost = price === undefined ? undefined : costOf(price, { width, height, steps, seconds });
    const item = await deliverImage(task, result, image, parts.assets);
    return {
      item: { ...item, ...(task.terms.includeCost ? { cost: cost ?? 0 } : {}) },
      use: { images: 1, computeSeconds: seconds, cost: cost ?? 0 },
    };
  }

  return async (result, { attempt, signal }) => {
    const job = parts.tasks.job(result);
    // Cancelled, forgotten, or settled by a process that ended before it took the job out of the queue.
    if (!job) return;
    const task = knownTask(job.task);
    const place = { taskType: task.type, taskUUID: task.terms.taskUUID };
    let made: Made;
    try {
      if (attempt > maxAttempts) throw abandoned(attempt - 1);
      made = await make(task, result, job.plan, signal);
    } catch (error) {
      if (isPassing(error, signal)) throw error;
      settle(task, result, { failure: toFailure(error, place, parts.log) }, context);
      return;
    }
    // Cancelled in the last moment: nobody knows of the picture.
    const note = () => parts.usage.note(task.account, made.use);
    if (!conclude(task, result, made.item, context, note)) await parts.assets.delete(result);
  };
}

/** Of an image, in percent: its steps. Loading before them and decoding after them have no measure. */
function progressAfter(event: EngineEvent): number | undefined {
  if (event.type !== 'step-end') return undefined;
  return Math.min(99, Math.floor((100 * (event.index + 1)) / event.steps));
}

/** The server ends, or its database takes nothing: the job is done another time. */
function isPassing(error: unknown, signal: AbortSignal): boolean {
  if (signal.aborted && (signal.reason as RetouchError).code === 'queueClosed') return true;
  const codes: string[] = [...(['databaseBusy', 'databaseFull'] satisfies StoreErrorCode[]), 'engineClosed'];
  return error instanceof RetouchError && codes.includes(error.code);
}

function abandoned(attempts: number): RetouchError {
  const message = `The server ended ${attempts} times while it made this image, which is not tried again.`;
  return new RetouchError('taskFailed', message, { failure: failure('taskFailed', message) });
}
