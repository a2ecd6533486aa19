/** watchTask: the state of each image of a task, and each change of it. */

import type { Reply } from '../../api/results.ts';
import type { WatchTaskTask } from '../../api/tasks/watch-task.ts';
import type { Queue } from '../../queue/queue.ts';
import type { StoredResult, TaskStore } from '../../store/tasks.ts';
import { slowFields } from '../forecast/image-progress.ts';
import { findTask } from '../results/lookup.ts';
import type { Tracker } from '../results/tracker.ts';
import { type Facts, WatchedImages, type WatchItem } from '../results/watched-images.ts';
import type { Call } from './handler.ts';

type Uses = { tasks: TaskStore; tracker: Tracker; queue: Pick<Queue, 'position'> };

/** How often the place in the queue is looked up, in milliseconds. */
const queueInterval = 1000;

/**
 * Yields every change of every image until the last image ends, the client disconnects or the server stops. Over HTTP
 * it yields the state once.
 */
export async function* watchTask(
  { taskUUID, taskType, previews = 0 }: WatchTaskTask,
  { caller }: Call,
  { tasks, tracker, queue }: Uses,
): AsyncGenerator<Reply> {
  const name = { account: caller.account, taskUUID };
  const uuid = tracker.claimed(name) ?? findTask({ taskUUID, taskType }, caller, tasks).uuid;
  const say = (fields: Omit<WatchItem, 'taskType' | 'taskUUID'>): Reply => ({
    item: { taskType, taskUUID, ...fields },
  });
  const told = new Map<string, string>();
  const watch = tracker.watch(uuid);
  const wake = () => watch.wake();
  const images = new WatchedImages(previews, wake);
  using _following = tracker.follow(uuid, images);
  const timer = setInterval(wake, queueInterval);
  caller.signal.addEventListener('abort', wake);
  try {
    for (;;) {
      // Subscribes before it reads the store, so that no change is missed.
      const change = watch.next();
      const results = tasks.results(uuid);
      const isClaimed = tracker.claimed(name) === uuid;
      // Its inputs were refused: the task's own answer says why.
      if (results.length === 0 && !isClaimed) return;
      if (isClaimed && !told.has(uuid)) {
        told.set(uuid, 'waiting');
        yield say({ status: 'waiting' });
      }
      const facts = images.take();
      for (const result of results) {
        const progress = isUnmade(result) ? tracker.progress(result.uuid) : undefined;
        const slow = progress ? slowFields(progress) : {};
        const state = { ...describe(result, facts.get(result.uuid), queue), ...slow };
        // Sends neither an unchanged place in the queue nor an end that was sent before.
        const text = `${state.status} ${state.queuePosition} ${slow.progress} ${slow.secondsLeft}`;
        if (told.get(result.uuid) === text && !facts.has(result.uuid)) continue;
        told.set(result.uuid, text);
        yield say({ imageUUID: result.uuid, ...state });
      }
      const isOver = results.length > 0 && results.every(isSettled);
      const isLeft = caller.signal.aborted || caller.session === undefined || tracker.closing.aborted;
      if (isOver || isLeft) return;
      await change;
    }
  } finally {
    clearInterval(timer);
    caller.signal.removeEventListener('abort', wake);
    watch.close();
  }
}

function describe(
  result: StoredResult,
  facts: Facts | undefined,
  queue: Pick<Queue, 'position'>,
): Facts & { status: WatchItem['status'] } {
  if (result.failure !== null) return { status: 'error' };
  if (result.item !== null) return { status: 'success', ...facts };
  const queuePosition = facts || !isUnmade(result) ? 0 : (queue.position(result.uuid) ?? 0);
  if (queuePosition === 0) return { status: 'processing', ...facts };
  return { status: 'waiting', queuePosition };
}

function isSettled({ item, failure }: StoredResult): boolean {
  return item !== null || failure !== null;
}

/** An image that waits for its upload counts as finished. */
function isUnmade(result: StoredResult): boolean {
  return !isSettled(result) && result.made === null;
}
