/** An engine as whoever runs plans sees it: in this process, or served by a child process. */
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
