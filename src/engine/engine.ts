/** Engines as whoever runs plans sees them: one in this process or in a child, and several that share the work. */
import type { DeviceName } from './onnx/device.ts';
import type { EngineEvent, Plan } from './plan.ts';

export type EngineOptions = {
  threads: number;
  /** Bytes the engine may use; a model that needs more is refused before it is loaded. */
  memoryLimit: number;
  log: (line: string) => void;
};

export type Engine = {
  /** One run at a time. It stops between events when `signal` fires, with `engineAborted`. */
  run(plan: Plan, signal: AbortSignal): AsyncGenerator<EngineEvent>;
  release(): Promise<void>;
};

export type CreateEngine = (options: EngineOptions) => Engine | Promise<Engine>;

export type EngineStatus = {
  state: 'idle' | 'starting' | 'ready' | 'busy' | 'backing-off';
  pid: number | undefined;
  restarts: number;
  /** A sentence while the child is silent for longer than it should be. */
  stalled?: string;
};

/** One engine of a pool. */
export type PooledEngine = EngineStatus & {
  /** Unique in its pool: `cpu:0`. */
  name: string;
  device: DeviceName;
  /** AIR of the model that it ran last, which its memory holds; undefined before its first run. */
  model?: string;
};

/** Engines that make images side by side: children of this process, workers on other machines, or both. */
export interface EnginePool {
  /** Images that can be computed at once. */
  readonly capacity: number;
  readonly engines: readonly PooledEngine[];
  /**
   * The events of one image, from the engine that fits the plan best; it waits for one when all are busy. Throws
   * `engineAborted` once `signal` fires, `engineClosed`, or what the engine threw. Leaving the loop stops the run.
   */
  run(plan: Plan, signal?: AbortSignal): AsyncGenerator<EngineEvent>;
  /** `listener` is called when the capacity has grown. */
  onGrowth(listener: () => void): void;
  close(): Promise<void>;
}
