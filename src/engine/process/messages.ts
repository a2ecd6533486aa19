/** What crosses between the host and its child process, in either direction. */

import type { ErrorData } from '../../error.ts';
import type { EngineEvent, Plan } from '../plan.ts';

export type EngineOptions = {
  threads: number;
  /** Bytes the engine may use; a model that needs more is refused before it is loaded. */
  memoryLimit: number;
  log: (line: string) => void;
};

/** What the child process serves: `createEngine` of kontext.ts, or a scripted one in tests. */
export type Engine = {
  run(plan: Plan, signal: AbortSignal): AsyncGenerator<EngineEvent>;
  release(): Promise<void>;
};

export type CreateEngine = (options: EngineOptions) => Engine | Promise<Engine>;

export type ToChild =
  | { type: 'start'; threads: number; memoryLimit: number }
  | { type: 'run'; id: number; plan: Plan }
  | { type: 'stop'; id: number }
  | { type: 'leave' };

export type FromChild =
  | { type: 'ready' }
  | { type: 'event'; id: number; event: EngineEvent }
  | { type: 'end'; id: number }
  | { type: 'error'; id: number; error: ErrorData };
