import { parseJson } from '../../api/json.ts';
import { type Reply, toEnvelope } from '../../api/results.ts';
import type { GetTaskDetailsTask } from '../../api/tasks/get-task-details.ts';
import type { Context } from '../handler.ts';
import { findTask } from '../results/lookup.ts';
import { showResult } from '../results/outcome.ts';

export async function* getTaskDetails(
  { taskUUID }: GetTaskDetailsTask,
  context: Context,
): AsyncGenerator<Reply> {
  const { parts, caller } = context;
  const task = findTask(taskUUID, 'getTaskDetails', context);
  parts.tasks.touch(task.uuid, Date.now());
  const results = parts.tasks.results(task.uuid);
  const shown = results.map((result) => showResult(result, task.terms, caller.publicUrl, parts));
  const replies = (await Promise.all(shown)).filter((reply) => reply !== undefined);
  const { data, errors } = toEnvelope(replies).body;
  const response = { ...(data.length > 0 || !errors ? { data } : {}), ...(errors ? { errors } : {}) };
  const request = [parseJson(task.request)];
  yield { item: { taskType: 'getTaskDetails', taskUUID: task.terms.taskUUID, request, response } };
}
