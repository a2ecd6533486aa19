import type { ImageItem, PendingReply, Reply } from '../../api/results.ts';
import type { GetResponseTask } from '../../api/tasks/get-response.ts';
import type { StageName } from '../../engine/plan.ts';
import type { AssetStore } from '../../store/assets.ts';
import type { TaskStore } from '../../store/tasks.ts';
import { type ProgressState, slowFields } from '../forecast/image-progress.ts';
import { findTask } from '../results/lookup.ts';
import { offerResult } from '../results/outcome.ts';
import type { Tracker } from '../results/tracker.ts';
import type { Call } from './handler.ts';

type Uses = { tasks: TaskStore; assets: AssetStore; tracker: Tracker };

/**
 * One reply for every image, in the order of the seeds. A task's failure is data here: the request itself still
 * succeeds with 200.
 */
export async function* getResponse(
  { taskUUID, taskType }: GetResponseTask,
  { caller }: Call,
  { tasks, assets, tracker }: Uses,
): AsyncGenerator<PendingReply> {
  if (tracker.claimed({ account: caller.account, taskUUID })) {
    yield { item: { taskType: 'imageInference', taskUUID, status: 'processing', progress: 0 } };
    return;
  }
  const { uuid, type, terms } = findTask({ taskUUID, taskType }, caller, tasks);
  const view = { outputType: terms.outputType, publicUrl: caller.publicUrl };
  tasks.touch(uuid);
  const results = tasks.results(uuid);
  const held = caller.wholePolls && results.some(({ item, failure }) => item === null && failure === null);
  for (const result of results) {
    const reply = held ? undefined : await offerResult(result, view, assets);
    if (reply) {
      if ('read' in reply) yield { ...reply, read: async () => withStatus(await reply.read()) };
      else yield withStatus(reply);
    } else {
      const isMade = result.made !== null || result.item !== null;
      const state = isMade ? undefined : tracker.progress(result.uuid);
      const progress = isMade ? 100 : (state?.percent ?? 0);
      const id = { taskType: type, taskUUID: terms.taskUUID, imageUUID: result.uuid };
      yield { item: { ...id, status: 'processing', ...phaseOf(state), progress } };
    }
  }
}

function phaseOf(state: ProgressState | undefined): { phase?: StageName; secondsLeft?: number } {
  return state ? { ...slowFields(state), phase: state.phase } : {};
}

function withStatus(reply: Reply): Reply {
  if ('item' in reply) return { item: { ...(reply.item as ImageItem), status: 'success' } };
  return { failure: { status: 200, error: { ...reply.failure.error, status: 'error' } } };
}
