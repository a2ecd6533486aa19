/** The interfaces of engines: one in this process or in a child, and a pool of several that share the work. */
import type { DeviceName } from './onnx/device.ts';
import type { EngineEvent, Plan } from './plan.ts';

export type EngineOptions = {
  threads: number;
  /** Bytes the engine may use; a model that needs more is refused before it is loaded. */
  memoryLimit: number;
  log: (line: string) => void;
};

export type Engine = {
  /** Runs one plan at a time. The run stops between events when `signal` aborts, with `engineAborted`. */
  run(plan: Plan, signal: AbortSignal): AsyncGenerator<EngineEvent>;
  release(): Promise<void>;
};

export type CreateEngine = (options: EngineOptions) => Engine | Promise<Engine>;

export type EngineStatus = {
  state: 'idle' | 'starting' | 'ready' | 'busy' | 'backing-off';
  pid: number | undefined;
  restarts: number;
  /** A warning while the child is silent for too long. */
  stalled?: string;
};

/** One engine of a pool. */
export type PooledEngine = EngineStatus & {
  /** Unique in its pool: `cpu:0`. */
  name: string;
  device: DeviceName;
  /** AIR of the model in its memory, which it ran last; undefined before its first run. */
  model?: string;
};

/** Engines that make images side by side: children of this process, workers on other machines, or both. */
export interface EnginePool {
  /** Images that can be computed at once. */
  readonly capacity: number;
  readonly engines: readonly PooledEngine[];
  /** A sentence while no engine can be used; undefined otherwise. */
  readonly problem: string | undefined;
  /** A sentence when no engine can ever make the plan, so that it need not wait. */
  refusal(plan: Plan): string | undefined;
  /** Names of everything that an engine must have for the plan, in a form that this pool reads after a restart too. */
  needsOf(plan: Plan): string;
  /**
   * Images with these needs that may be under way at once: those that can be computed, and a few more where engines would
   * wait for the next.
   */
  capacityFor(needs: string): number;
  /**
   * The events of one image, from the engine that fits the plan best; waits when all engines are busy. Throws
   * `engineAborted` after `signal` aborts, `engineClosed`, and the errors of the engine. Leaving the loop stops the
   * run.
   *
   * @param id of the image, if it outlives this process: results that workers made for it before a restart are used
   */
  run(plan: Plan, signal?: AbortSignal, id?: string): AsyncGenerator<EngineEvent>;
  /** `listener` is called when the capacity has grown, also if only for some needs. */
  onGrowth(listener: () => void): void;
  close(): Promise<void>;
}
