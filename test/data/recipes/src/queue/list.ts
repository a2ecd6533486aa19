import type { LocalQueueOptions } from './local.ts';
import { createMemoryQueue } from './memory.ts';
import type { Queue } from './queue.ts';

export function createListQueue(options: LocalQueueOptions): Queue {
  return createMemoryQueue(options);
}
