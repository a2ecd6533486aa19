import { randomUUID } from 'node:crypto';
import type { Reply } from '../../api/results.ts';

/** The server has checked the key before. */
export function* authentication(): Generator<Reply> {
  yield { item: { taskType: 'authentication', connectionSessionUUID: randomUUID() } };
}
