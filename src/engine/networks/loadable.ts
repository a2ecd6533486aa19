/** A network before it is loaded: its key, the memory it needs, and its load function. */
type Progress = {
  message: string;
  fraction: number;
  /** Progress of the file that is being written. */
  bytes?: { done: number; total: number };
};

/** Work that yields its progress and can be cancelled at every yield. */
export type Loading<T> = AsyncGenerator<Progress, T>;

export type Need = {
  /** Bytes of the weights, which stay allocated. */
  bytes: number;
  /** Bytes of the working memory of a run. */
  working: number;
  /** Bytes of the working memory that stay allocated after a run, in arenas; none by default. */
  kept?: number;
};

/** `bytes` of a weight in another precision, and in the one that is asked for. */
export type SmallerWeights = { precision: string; bytes: number; insteadOf: number };

export type Network = { release(): Promise<void> };

export type Loadable<T extends Network> = {
  /** Two loadables of one key are the same network. It begins with the network's name, for messages. */
  key: string;
  need: Need;
  /** The precisions that would make its weights smaller, for messages. */
  smaller?: readonly SmallerWeights[];
  load(): Loading<T>;
};
