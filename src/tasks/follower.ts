/** A client that watches its images being made: for previews and progress. */

import type { EngineEvent } from '../engine/plan.ts';

/** Its functions are called by the worker and must not throw. */
export type Follower = {
  /** Most previews of each image that it wants; each takes the time of decoding one. */
  previews: number;
  /** The task is accepted; it waits for its turn. */
  onAccept(): void;
  /** `result` is the UUID of the image. */
  onEvent(result: string, event: EngineEvent): void;
};
