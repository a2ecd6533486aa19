import type { Log } from '../../log.ts';
import type { Queue } from '../../queue/queue.ts';
import type { InputStore } from '../../store/inputs.ts';
import type { TaskStore } from '../../store/tasks.ts';

export type RestoreOptions = { tasks: TaskStore; inputs: InputStore; queue: Queue; log: Log };

/** Queues the unfinished images of an earlier process again, and removes inputs that no task needs. */
export async function restoreTasks({ tasks, inputs, queue, log }: RestoreOptions): Promise<void> {
  const open = tasks.unmadeResults();
  await inputs.keepOnly(new Set(tasks.openTasks()));
  await queue.restore(open);
  if (open.length > 0) log.info(`${open.length} images that were asked for before this start are made now.`);
}
