import type { EnginePool } from '../../engine/engine.ts';
import type { EngineErrorCode } from '../../engine/errors.ts';
import type { EngineEvent, FinishedImage, Plan } from '../../engine/plan.ts';
import { RetouchError } from '../../error.ts';
import type { Turn } from '../../queue/queue.ts';

export type MakeOptions = {
  engines: Pick<EnginePool, 'run'>;
  signal: AbortSignal;
  /** UUID of the image. */
  id?: string;
  onEvent(event: EngineEvent): void;
  /** The engines that died of this plan before, where that is written down. */
  history?: Pick<Turn, 'crashes' | 'countCrash'>;
};

/** Engines that may die of one image, so that it does not kill them for ever. */
const mostCrashes = 2;

const engineFaults: readonly string[] = ['engineCrashed', 'engineHung'] satisfies EngineErrorCode[];

/**
 * Plan → image. The plan is seldom the cause of a crash: memory may have run out, a driver may hang, or the process
 * died between two runs. So a plan whose engine died or hung is tried once more on a fresh process. The crash is stored
 * when the fresh process sends its first event: the server has survived the engine then, so they were not killed together.
 */
export async function makeImage(
  plan: Plan,
  { engines, signal, id, onEvent, history }: MakeOptions,
): Promise<FinishedImage> {
  let isCounted = true;
  const note = (event: EngineEvent) => {
    if (!isCounted) history?.countCrash();
    isCounted = true;
    onEvent(event);
  };
  for (let crashes = history?.crashes ?? 0; ; isCounted = false) {
    try {
      return await runOnce(engines.run(plan, signal, id), note);
    } catch (error) {
      if (!isEngineFault(error) || signal.aborted || ++crashes >= mostCrashes) throw error;
    }
  }
}

function isEngineFault(error: unknown): boolean {
  return error instanceof RetouchError && engineFaults.includes(error.code);
}

async function runOnce(
  events: AsyncIterable<EngineEvent>,
  onEvent: MakeOptions['onEvent'],
): Promise<FinishedImage> {
  let image: FinishedImage | undefined;
  for await (const event of events) {
    onEvent(event);
    if (event.type === 'image') image = event.image;
  }
  if (image) return image;
  throw new RetouchError('internalError', 'The engine ended a run without an image and without an error.');
}
