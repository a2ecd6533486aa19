import type { EncodedImage, EngineEvent, Plan } from '../engine/plan.ts';
import type { EngineHost } from '../engine/process/host.ts';
import { RetouchError } from '../error.ts';

/** The part of the engine that tasks need. */
export type ImageEngine = Pick<EngineHost, 'run' | 'status'>;

/**
 * The image of a Plan. A process that died between two runs is found dead by the next one: a run that crashes before
 * its first step is begun once more, so that the death is nobody's error.
 */
export async function runPlan(
  engine: ImageEngine,
  plan: Plan,
  signal: AbortSignal,
  onEvent: (event: EngineEvent) => void,
): Promise<EncodedImage> {
  let stepped = false;
  const listen = (event: EngineEvent) => {
    stepped ||= event.type === 'step-end';
    onEvent(event);
  };
  try {
    return await runOnce(engine, plan, signal, listen);
  } catch (error) {
    const crashed = error instanceof RetouchError && error.code === 'engineCrashed';
    if (!crashed || stepped || signal.aborted) throw error;
    return runOnce(engine, plan, signal, listen);
  }
}

async function runOnce(
  engine: ImageEngine,
  plan: Plan,
  signal: AbortSignal,
  onEvent: (event: EngineEvent) => void,
): Promise<EncodedImage> {
  let image: EncodedImage | undefined;
  for await (const event of engine.run(plan, signal)) {
    onEvent(event);
    if (event.type === 'image') image = event.image;
  }
  if (image) return image;
  throw new RetouchError('internalError', 'The engine ended a run without an image and without an error.');
}
