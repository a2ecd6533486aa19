import type { EncodedImage, EngineEvent, Plan } from '../../engine/plan.ts';
import type { EngineHost } from '../../engine/process/host.ts';
import { RetouchError } from '../../error.ts';

/** The part of the engine that tasks need. */
export type ImageEngine = Pick<EngineHost, 'run' | 'status'>;

export type MakeOptions = { engine: ImageEngine; signal: AbortSignal; onEvent(event: EngineEvent): void };

/**
 * Plan → image. A process that died between two runs is found dead by the next one: a run that crashes before its first
 * step is begun once more, so that the death is nobody's error.
 */
export async function makeImage(plan: Plan, options: MakeOptions): Promise<EncodedImage> {
  let stepped = false;
  const onEvent = (event: EngineEvent) => {
    stepped ||= event.type === 'step-end';
    options.onEvent(event);
  };
  try {
    return await runOnce(plan, { ...options, onEvent });
  } catch (error) {
    const crashed = error instanceof RetouchError && error.code === 'engineCrashed';
    if (!crashed || stepped || options.signal.aborted) throw error;
    return runOnce(plan, options);
  }
}

async function runOnce(plan: Plan, { engine, signal, onEvent }: MakeOptions): Promise<EncodedImage> {
  let image: EncodedImage | undefined;
  for await (const event of engine.run(plan, signal)) {
    onEvent(event);
    if (event.type === 'image') image = event.image;
  }
  if (image) return image;
  throw new RetouchError('internalError', 'The engine ended a run without an image and without an error.');
}
