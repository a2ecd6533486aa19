/** A client that follows its images: previews and progress. */

import type { EngineEvent } from '../engine/plan.ts';

/** The worker calls its functions, which must not throw. */
export type Follower = {
  /** Most previews of each image; each takes the time of one decoding. */
  previews: number;
  /** Called when the task is accepted and queued. */
  onAccept(): void;
  /** `result` is the UUID of the image. */
  onEvent(result: string, event: EngineEvent): void;
};
