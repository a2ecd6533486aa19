import type { Reply } from '../../api/results.ts';
import type { TaskOf } from '../../api/tasks/index.ts';

export function* echo(task: TaskOf<'echo'>): Generator<Reply> {
  yield { item: task };
}
