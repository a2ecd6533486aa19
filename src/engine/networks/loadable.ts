/** A network before it is loaded: what it is called, the memory it needs, and how it is loaded. */
export type Progress = { message: string; fraction: number };

/** Work that reports its progress, and may be stopped wherever it does. */
export type Loading<T> = AsyncGenerator<Progress, T>;

/** Bytes of weights, which stay, and of what a network works in while it runs. */
export type Need = { bytes: number; working: number };

export type Network = { release(): Promise<void> };

export type Loadable<T extends Network> = {
  /** Two loadables of one key are the same network. It begins with the network's name, for messages. */
  key: string;
  need: Need;
  load(): Loading<T>;
};
