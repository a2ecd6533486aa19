/** The work of the queue, for one result: Plan → image → stored image → settled result. */

import { setImmediate as eventLoopTurn } from 'node:timers/promises';
import { failure } from '../../api/errors.ts';
import type { EnginePool } from '../../engine/engine.ts';
import type { EngineErrorCode } from '../../engine/errors.ts';
import type { EngineEvent, Plan } from '../../engine/plan.ts';
import { RetouchError } from '../../error.ts';
import type { Log } from '../../log.ts';
import type { Turn, Work } from '../../queue/queue.ts';
import type { AssetStore } from '../../store/assets.ts';
import type { StoreErrorCode } from '../../store/errors.ts';
import type { InputStore } from '../../store/inputs.ts';
import type { TaskStore } from '../../store/tasks.ts';
import type { UsageStore, Use } from '../../store/usage.ts';
import type { Failures } from '../failures.ts';
import type { Forecaster } from '../forecast/forecasts.ts';
import { ImageProgress } from '../forecast/image-progress.ts';
import { progressText } from '../forecast/progress-text.ts';
import type { TaskMetrics } from '../metrics/task-metrics.ts';
import { readPlan } from '../plan/plan-json.ts';
import { costOf } from '../results/cost.ts';
import { type KnownTask, knownTask, salvagedTask } from '../results/lookup.ts';
import type { KeptItem } from '../results/outcome.ts';
import type { Settlement } from '../results/settlement.ts';
import { storeImage } from '../results/store-image.ts';
import type { Tracker } from '../results/tracker.ts';
import { eventText } from './event-text.ts';
import { makeImage } from './make-image.ts';

/**
 * Interruptions after which the image is assumed to be their cause. The engine is a separate process, so an image seldom
 * kills the server; an operator or a power failure is likelier. Both processes die of an image only where they share a
 * limit, such as a container's memory. With the rests before each try (Queue.restore) 50 interruptions take hours.
 */
const maxInterruptions = 50;

export type WorkerOptions = {
  engines: Pick<EnginePool, 'run'>;
  tasks: TaskStore;
  inputs: InputStore;
  assets: AssetStore;
  usage: UsageStore;
  settlement: Settlement;
  tracker: Tracker;
  metrics: TaskMetrics;
  failures: Failures;
  forecasts: Forecaster;
  log: Log;
};

/** Milliseconds between two lines of the log about one image. */
const logInterval = 30_000;

type Made = { item: KeptItem; use: Use };

export class Worker {
  readonly #options: WorkerOptions;

  constructor(options: WorkerOptions) {
    this.#options = options;
  }

  readonly work: Work = async (result, turn) => {
    const { tasks, assets, usage, settlement, failures } = this.#options;
    const job = tasks.job(result);
    // Cancelled, forgotten, or settled by a process that ended before it took the job out of the queue.
    if (!job) return;
    // Damaged terms are detected below, inside the code that settles the result.
    const task = salvagedTask(job.task);
    const place = { taskType: task.type, taskUUID: task.terms.taskUUID };
    let made: Made;
    try {
      if (turn.interruptions >= maxInterruptions) throw abandoned(turn.interruptions);
      knownTask(job.task);
      made = await this.#make(task, { result, plan: job.plan, turn });
    } catch (error) {
      if (isPassing(error, turn.signal)) throw error;
      settlement.settle(task, { result, failure: failures.of(error, place) });
      return;
    }
    const { item, use } = made;
    // The task was cancelled after the image was stored: no client knows the image's UUID.
    if (!settlement.conclude(task, { result, item }, () => usage.note(task.account, use)))
      await assets.delete(result);
  };

  async #make(
    task: KnownTask,
    { result, plan: planText, turn }: { result: string; plan: string; turn: Turn },
  ): Promise<Made> {
    const { engines, tasks, inputs, assets, metrics, tracker, forecasts, log } = this.#options;
    const accepted = readPlan<Plan>(planText, await inputs.read(task.uuid));
    const plan = withPreviews(accepted, tracker.previews(task.uuid));
    let seconds = 0;
    const progress = new ImageProgress(plan.steps);
    tracker.setProgress(result, progress);
    void forecasts.of(plan).then((forecast) => progress.expect(forecast));
    const place = { taskUUID: task.terms.taskUUID };
    const timer = setInterval(() => log.info(progressText(progress.state), place), logInterval);
    timer.unref();
    const onEvent = (event: EngineEvent) => {
      metrics.engineSaid(event);
      progress.note(event);
      void forecasts.note(plan, event);
      tracker.tell(task.uuid, result, event);
      const text = eventText(event);
      if (event.type === 'warning') tasks.warn(result, event);
      if (text) {
        const isWarning = event.type === 'warning';
        const facts = { ...place, ...(isWarning ? { code: event.code } : {}) };
        log[isWarning ? 'warn' : 'info'](text, facts);
      }
      if (event.type === 'image') seconds = event.milliseconds / 1000;
    };
    const making = makeImage(plan, { engines, signal: turn.signal, id: result, onEvent, history: turn });
    const image = await making.finally(() => clearInterval(timer));
    // While this image is stored, the engine makes the next, which is sent to it first.
    turn.release();
    await eventLoopTurn();
    const { price } = task.terms;
    const { width, height, steps } = plan;
    const cost = price === undefined ? undefined : costOf(price, { width, height, steps, seconds });
    const item = await storeImage(task, { uuid: result, image, signal: turn.signal }, assets);
    return {
      item: { ...item, ...(task.terms.includeCost ? { cost: cost ?? 0 } : {}) },
      use: { images: 1, computeSeconds: seconds, cost: cost ?? 0 },
    };
  }
}

/** At most `count` previews, evenly spread over the steps before the last. They change no pixel of the image. */
function withPreviews(plan: Plan, count: number): Plan {
  return { ...plan, previewEvery: count === 0 ? 0 : Math.ceil(plan.steps / (count + 1)) };
}

/** The server stops, or the database cannot be written: the job stays in the queue. */
function isPassing(error: unknown, signal: AbortSignal): boolean {
  if (signal.aborted && (signal.reason as RetouchError).code === 'queueClosed') return true;
  const codes: string[] = ['databaseBusy', 'databaseFull', 'engineClosed'] satisfies (
    | StoreErrorCode
    | EngineErrorCode
  )[];
  return error instanceof RetouchError && codes.includes(error.code);
}

function abandoned(attempts: number): RetouchError {
  const message = `The server ended ${attempts} times while it made this image, which is not tried again.`;
  return new RetouchError('taskFailed', message, { failure: failure('taskFailed', message) });
}
