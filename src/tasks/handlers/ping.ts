import type { Reply } from '../../api/results.ts';
import type { PingTask } from '../../api/tasks/ping.ts';

export function* ping({ taskUUID }: PingTask): Generator<Reply> {
  yield { item: { taskType: 'ping', ...(taskUUID === undefined ? {} : { taskUUID }), pong: true } };
}
