/**
 * The thread that ends this process once its parent has exited. The main thread is blocked while a network computes, for a
 * minute and more at FLUX.1's size, and hears of the disconnection only afterwards; until then the server that was started
 * again would lack the memory. Where a parent's exit does not change the parent's id (Windows) nothing is seen.
 */
import { workerData } from 'node:worker_threads';

const pause = 1_000;

const parent = workerData as number;
setInterval(() => {
  if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL');
}, pause);
