/** Counters of tasks, read at `/metrics`. */

import type { Failure } from '../../api/errors.ts';
import { taskTypes } from '../../api/tasks/index.ts';
import type { EngineEvent } from '../../engine/plan.ts';
import type { Counter, Histogram, Metrics } from '../../metrics.ts';
import type { Pace } from './pace.ts';

const outcomes = ['success', 'failure'] as const;
export type TaskOutcome = (typeof outcomes)[number];

/** Seconds, from a small model on a GPU to a large one on two cores. */
const stepBounds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
const imageBounds = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800];

export class TaskMetrics {
  readonly #tasks: Counter;
  readonly #refused: Counter;
  readonly #images: Counter;
  readonly #deliveries: Counter;
  readonly #steps: Histogram;
  readonly #seconds: Histogram;
  readonly #pace: Pace;

  constructor(metrics: Metrics, pace: Pace) {
    this.#pace = pace;
    const types = Object.keys(taskTypes);
    const kinds = ['upload', 'webhook'];
    const withOutcome = (label: string, values: readonly string[]) => ({
      labels: [label, 'outcome'],
      initial: values.flatMap((value) => outcomes.map((outcome) => ({ [label]: value, outcome }))),
    });
    this.#tasks = metrics.counter({
      name: 'retouch_tasks_total',
      help: 'Tasks that ended, by type and outcome.',
      ...withOutcome('type', types),
    });
    this.#refused = metrics.counter({
      name: 'retouch_tasks_refused_total',
      help: 'Tasks that are not valid, by type and first error.',
      labels: ['type', 'code'],
    });
    this.#images = metrics.counter({ name: 'retouch_images_total', help: 'Images that the engine made.' });
    this.#deliveries = metrics.counter({
      name: 'retouch_deliveries_total',
      help: 'Webhooks and uploads that were sent for good or given up.',
      ...withOutcome('kind', kinds),
    });
    this.#steps = metrics.histogram({
      name: 'retouch_step_seconds',
      help: 'Time of one denoising step.',
      buckets: stepBounds,
    });
    this.#seconds = metrics.histogram({
      name: 'retouch_image_seconds',
      help: 'Time in which the engine made one image.',
      buckets: imageBounds,
    });
  }

  taskEnded(type: string, outcome: TaskOutcome): void {
    this.#tasks.inc({ type, outcome });
  }

  /**
   * A task that is not valid, counted by the code of its first error. Codes derive from known parameters, so their
   * number is bounded.
   */
  taskRefused(failures: readonly Failure[]): void {
    const { taskType: type = 'unknown', code } = failures[0]!.error;
    this.#refused.inc({ type, code });
  }

  deliveryEnded(kind: 'upload' | 'webhook', outcome: TaskOutcome): void {
    this.#deliveries.inc({ kind, outcome });
  }

  engineSaid(event: EngineEvent): void {
    if (event.type === 'step-end') this.#steps.observe(event.milliseconds / 1000);
    if (event.type !== 'image') return;
    this.#images.inc();
    this.#pace.note(event.milliseconds / 1000);
    this.#seconds.observe(event.milliseconds / 1000);
  }
}
