import { type Reply, toEnvelope } from '../../api/results.ts';
import type { GetTaskDetailsTask } from '../../api/tasks/get-task-details.ts';
import type { AssetStore } from '../../store/assets.ts';
import type { StoredResult, StoredWarning, TaskStore } from '../../store/tasks.ts';
import { findTask } from '../results/lookup.ts';
import { showResult } from '../results/outcome.ts';
import { readStored } from '../results/stored-json.ts';
import type { Call } from './handler.ts';

type Uses = { tasks: TaskStore; assets: AssetStore };

export async function* getTaskDetails(
  { taskUUID, taskType }: GetTaskDetailsTask,
  { caller }: Call,
  { tasks, assets }: Uses,
): AsyncGenerator<Reply> {
  const task = findTask({ taskUUID, taskType }, caller, tasks);
  tasks.touch(task.uuid);
  // By URL, however the task asked for its images: twenty of them would make an answer of 50 MB.
  const view = { outputType: 'URL', publicUrl: caller.publicUrl } as const;
  const results = tasks.results(task.uuid);
  const shown = results.map((result) => showResult(result, view, assets));
  const replies = (await Promise.all(shown)).filter((reply) => reply !== undefined);
  const { data, errors } = toEnvelope(replies).body;
  const response = { ...(data.length > 0 || !errors ? { data } : {}), ...(errors ? { errors } : {}) };
  const request = [readStored<object>(task.request, 'the request of a task')];
  const warnings = results.flatMap(warningsOf);
  const facts = { request, response, ...(warnings.length > 0 ? { warnings } : {}) };
  yield { item: { taskType, taskUUID: task.terms.taskUUID, ...facts } };
}

type ImageWarning = StoredWarning & { imageUUID: string };

function warningsOf({ uuid, warnings }: StoredResult): ImageWarning[] {
  if (warnings === null) return [];
  const stored = readStored<StoredWarning[]>(warnings, 'the warnings of an image');
  return stored.map((warning) => ({ imageUUID: uuid, ...warning }));
}
