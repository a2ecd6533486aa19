import type { Log } from '../../log.ts';

/** The first signal drains a server or a worker and exits with status 0; a second one exits at once. */
export function closeOnSignal(close: () => Promise<void>, log: Log): void {
  let closing = false;
  const stop = (signal: NodeJS.Signals) => {
    if (closing) process.exit(1);
    closing = true;
    log.info(`${signal}: finishing what is under way.`);
    close().then(
      () => process.exit(0),
      (error) => {
        log.error('The process did not end cleanly.', { error });
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // SIGHUP means that the terminal or the parent is gone, often after another signal: it does not count as the second.
  process.on('SIGHUP', (signal) => closing || stop(signal));
}
