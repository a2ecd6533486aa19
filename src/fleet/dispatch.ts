/** An image of a server on its way through the fleet, and the errors in which it can end. */

import type { EngineErrorCode } from '../engine/errors.ts';
import type { EngineEvent } from '../engine/plan.ts';
import type { Channel } from '../engine/process/channel.ts';
import { type ErrorData, fromErrorData, type RetouchError } from '../error.ts';
import type { Need } from './catalog.ts';
import { FleetError, type FleetErrorCode } from './errors.ts';
import { lostTooOften } from './job-queues.ts';

/** An image under way. */
export type Dispatch = {
  id: string;
  queue: string;
  needs: readonly Need[];
  plan: Uint8Array;
  channel: Channel<EngineEvent>;
  /** The latest attempt that was heard of: what earlier ones say does not count any more. */
  attempt: number;
  worker?: string;
  /** When that attempt was heard to begin, in `performance.now()`. */
  started?: number;
  /** Whether it was put into Redis. */
  sent: boolean;
  /** A look at its state is under way, and whether another is to follow. */
  checking: boolean;
  again: boolean;
  /** It has ended. */
  done: boolean;
  /** Times that it was sent again. */
  resends: number;
};

/** Ends that are no fault of the image: what was in Redis is gone, the worker ended, an earlier try was cancelled. */
const passing: readonly string[] = ['engineAborted', 'engineClosed', 'transferLost'] satisfies (
  | EngineErrorCode
  | FleetErrorCode
)[];

export function isPassing({ code }: RetouchError): boolean {
  return passing.includes(code);
}

export function errorOf(reason: string): RetouchError {
  if (reason === lostTooOften) {
    return new FleetError(
      'workerLost',
      'Two workers, one after the other, were lost while they made the image.',
    );
  }
  try {
    return fromErrorData(JSON.parse(reason) as ErrorData);
  } catch {
    return new FleetError('workerLost', `The image was given up: ${reason}.`);
  }
}

export function lostResult(id: string): RetouchError {
  return new FleetError('transferLost', `The result of image ${id} is not in Redis any more.`);
}
