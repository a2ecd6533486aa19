/** The engine's default threads and memory. */

import { availableParallelism, totalmem } from 'node:os';

const MiB = 2 ** 20;

export function defaultThreads(): number {
  return availableParallelism();
}

/** Bytes of memory this process may have: the smaller of the machine's memory and the container's limit. */
export function availableMemory(): number {
  // 0 means unknown, and a cgroup without a limit reports more than any machine has.
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/** A tenth stays for the system and the server, at least 512 MiB and at most 4 GiB. */
export function defaultMemoryLimit(available = availableMemory()): number {
  const reserve = Math.min(Math.max(available / 10, 512 * MiB), 4096 * MiB);
  return Math.max(Math.floor(available - reserve), Math.floor(available / 2));
}
