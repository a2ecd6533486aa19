/**
 * The engine as a library, `retouch/engine`: a Plan in, a stream of events and an encoded image out.
 *
 * `EngineHost` runs the engine in a child process, which suits a server: computing blocks a JavaScript thread for
 * seconds, and a native abort ends only the child. `createEngine` runs it in this process, for scripts and tests.
 */
import type { Engine, EngineOptions } from './engine.ts';
import { defaultMemoryLimit, defaultThreads } from './process/limits.ts';

export { RetouchError } from '../error.ts';
export type { Engine, EngineOptions, EnginePool, EngineStatus, PooledEngine } from './engine.ts';
export { type EngineErrorCode, engineErrors } from './errors.ts';
export { decodeImage, encodeImage, type ImageInfo, probeImage } from './image/image-codec.ts';
export type { Bitmap } from './image/pixels.ts';
export { nearestPreferredSize, preferredSizes, type Size } from './image/sizes.ts';
export { type PlanRecord, readPlanRecord } from './pipeline/plan-record.ts';
export type {
  CachePlan,
  EncodedImage,
  EngineEvent,
  Face,
  FaceRefinement,
  FinishedImage,
  ImageFormat,
  ModelSource,
  Numerics,
  Plan,
  PlannedIpAdapter,
  PlannedLora,
  StageName,
  ToolSource,
} from './plan.ts';
export { plainNumerics, plainPlan } from './plan.ts';
export { EngineHost, type EngineHostOptions } from './process/host.ts';
export { type EngineDevice, LocalEngines, type LocalEnginesOptions } from './process/local-engines.ts';

/**
 * An engine in this process. ONNX Runtime is loaded by this call and not by importing this module, so that programs
 * that use `EngineHost` alone never load it.
 *
 * @param options all of the machine's threads, most of its memory and standard error unless told otherwise
 */
export async function createEngine(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const { createEngine: create } = await import('./pipeline/kontext.ts');
  return create({
    threads: defaultThreads(),
    memoryLimit: defaultMemoryLimit(),
    log: (line) => console.error(line),
    ...options,
  });
}
