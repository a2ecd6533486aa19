/**
 * Step caches reuse the residual that the blocks of the network added to the image's tokens at an earlier step, while a
 * cheap signal predicts nearly the same residual. This folder has only the decisions, over numbers; the tensors are in
 * `networks/cached-pass.ts`.
 */
export type StepCache = {
  /** Its name in texts. */
  title: string;
  /** The part of the network that runs before the signal is read; the rest of the network may be skipped. */
  after: 'nothing' | 'first' | 'head';
  /** The signal for the comparison: of the last evaluation, or of the last computed one. */
  against: 'last' | 'computed';
  decider(threshold: number): Decider;
};

/** When a cache may act. */
export type CacheWindow = {
  /** Reuse is allowed in the steps from ≤ i < to, counted from 0. */
  from: number;
  to: number;
  /** Most consecutive steps with reuse; the next one is computed. */
  maxConsecutive: number;
};

/** The memory of one pass of one image. */
export type Decider = {
  /**
   * Whether the cached residual is close enough to be reused.
   *
   * @param distance mean|now - then| / mean|then| of the signals, over all tokens and channels of the image's stream
   */
  allows(distance: number): boolean;
  /** Called after the whole network was computed. */
  computed(): void;
};
