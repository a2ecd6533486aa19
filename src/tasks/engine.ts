import type { EngineHost } from '../engine/host.ts';
import type { EncodedImage, EngineEvent, Plan } from '../engine/plan.ts';
import { RetouchError } from '../error.ts';

/** The part of the engine that tasks need. */
export type ImageEngine = Pick<EngineHost, 'run' | 'status'>;

/** A Job: one Plan, and who listens to its progress. */
export type Job = { plan: Plan; onEvent?: (event: EngineEvent) => void };

/** The Outcome of a Job, as the work of a queue. */
export async function runJob(engine: ImageEngine, job: Job, signal: AbortSignal): Promise<EncodedImage> {
  let image: EncodedImage | undefined;
  for await (const event of engine.run(job.plan, signal)) {
    job.onEvent?.(event);
    if (event.type === 'image') image = event.image;
  }
  if (image) return image;
  throw new RetouchError('internalError', 'The engine ended a run without an image and without an error.');
}
