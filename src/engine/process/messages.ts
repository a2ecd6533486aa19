/** Messages between the host and its child process, in either direction. */

import type { ErrorData } from '../../error.ts';
import type { EngineEvent, Plan } from '../plan.ts';

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
