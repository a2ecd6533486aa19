import type { ImageItem, Reply } from '../../api/results.ts';
import type { GetResponseTask } from '../../api/tasks/get-response.ts';
import type { Context } from '../handler.ts';
import { findTask } from '../results/lookup.ts';
import { readFailure, showImage } from '../results/outcome.ts';

/** One reply per image, in the order of the seeds, each time all of them. An error of the task is none of this request. */
export async function* getResponse({ taskUUID }: GetResponseTask, context: Context): AsyncGenerator<Reply> {
  const { parts, tracker, caller } = context;
  const uuid = taskUUID.toLowerCase();
  if (tracker.isClaimed(uuid, caller.account)) {
    yield { item: { taskType: 'imageInference', taskUUID, status: 'processing', progress: 0 } };
    return;
  }
  const task = findTask(taskUUID, 'getResponse', context);
  parts.tasks.touch(uuid, Date.now());
  for (const result of parts.tasks.results(uuid)) {
    if (result.failure !== null) {
      const { error } = readFailure(result.failure);
      yield { failure: { status: 200, error: { ...error, status: 'error' } } };
    } else if (result.item !== null) {
      const reply = await showImage(result, task.terms, caller.publicUrl, parts);
      if ('item' in reply) yield { item: { ...(reply.item as ImageItem), status: 'success' } };
      else yield { failure: { status: 200, error: { ...reply.failure.error, status: 'error' } } };
    } else {
      const progress = result.made === null ? tracker.progress(result.uuid) : 100;
      const id = { taskType: task.type, taskUUID: task.terms.taskUUID, imageUUID: result.uuid };
      yield { item: { ...id, status: 'processing', progress } };
    }
  }
}
