import type { Reply } from '../../api/results.ts';
import type { PingTask } from '../../api/tasks/ping.ts';

export function* ping({ taskUUID, taskType }: PingTask): Generator<Reply> {
  yield { item: { taskType, ...(taskUUID === undefined ? {} : { taskUUID }), pong: true } };
}
