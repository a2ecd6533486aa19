import type { EnginePool } from '../../engine/engine.ts';
import type { EngineErrorCode } from '../../engine/errors.ts';
import type { EngineEvent, FinishedImage, Plan } from '../../engine/plan.ts';
import { RetouchError } from '../../error.ts';

export type MakeOptions = {
  engines: Pick<EnginePool, 'run'>;
  signal: AbortSignal;
  onEvent(event: EngineEvent): void;
};

const engineFaults: readonly string[] = ['engineCrashed', 'engineHung'] satisfies EngineErrorCode[];

/**
 * Plan → image. The plan is seldom the cause of a crash: memory may have run out, a driver may hang, or the process
 * died between two runs. So a plan whose engine died or hung is tried once more on a fresh process.
 */
export async function makeImage(plan: Plan, options: MakeOptions): Promise<FinishedImage> {
  try {
    return await runOnce(plan, options);
  } catch (error) {
    if (!(error instanceof RetouchError) || !engineFaults.includes(error.code) || options.signal.aborted)
      throw error;
    return runOnce(plan, options);
  }
}

async function runOnce(plan: Plan, { engines, signal, onEvent }: MakeOptions): Promise<FinishedImage> {
  let image: FinishedImage | undefined;
  for await (const event of engines.run(plan, signal)) {
    onEvent(event);
    if (event.type === 'image') image = event.image;
  }
  if (image) return image;
  throw new RetouchError('internalError', 'The engine ended a run without an image and without an error.');
}
