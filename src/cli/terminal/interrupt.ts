/** SIGINT and SIGTERM as the end of a command's work. */

export type Interrupt = {
  /** Fires at the first signal. */
  readonly signal: AbortSignal;
  /** Status of a command that a signal ended: 128 and the signal's number; 0 before. */
  readonly exitCode: number;
  /** Gives the signals back to the system. */
  end(): void;
};

/** A second signal exits at once; the engine's process ends with its parent. */
export function listenForInterrupt(): Interrupt {
  const interrupt = new AbortController();
  let exitCode = 0;
  const stop = (signal: NodeJS.Signals) => {
    if (interrupt.signal.aborted) process.exit(exitCode);
    exitCode = signal === 'SIGINT' ? 130 : 143;
    interrupt.abort();
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  return {
    signal: interrupt.signal,
    get exitCode() {
      return exitCode;
    },
    end: () => void process.off('SIGINT', stop).off('SIGTERM', stop),
  };
}
