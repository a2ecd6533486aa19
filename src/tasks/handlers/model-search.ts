import type { Reply } from '../../api/results.ts';
import type { ModelSearchTask } from '../../api/tasks/model-search.ts';
import type { Context } from '../handler.ts';
import { searchModels } from '../search-models.ts';

export function* modelSearch(task: ModelSearchTask, { parts }: Context): Generator<Reply> {
  const { taskUUID } = task;
  yield { item: { taskType: 'modelSearch', taskUUID, ...searchModels(task, parts.models) } };
}
