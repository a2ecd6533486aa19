/** In-memory state of running work: tasks being resolved, progress of images, and waiting clients. */

import type { EngineEvent } from '../../engine/plan.ts';
import { RetouchError } from '../../error.ts';
import type { Follower } from '../follower.ts';
import type { ImageProgress, ProgressState } from '../forecast/image-progress.ts';

type Claim = { uuid: string; results: number; stop: AbortController };

/** A task as its client names it. */
export type TaskName = { account: string; taskUUID: string };

function keyOf({ account, taskUUID }: TaskName): string {
  return `${account} ${taskUUID.toLowerCase()}`;
}

export class Tracker {
  /** Tasks that are being resolved, by account and the client's taskUUID. */
  readonly #claims = new Map<string, Claim>();
  readonly #progress = new Map<string, ImageProgress>();
  readonly #watches = new Map<string, Set<Watch>>();
  readonly #followers = new Map<string, Set<Follower>>();
  readonly #closing = new AbortController();

  /** Aborts when the server stops: all waits end. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  close(): void {
    const closed = new RetouchError('queueClosed', 'The server is shutting down and takes no more tasks.');
    this.#closing.abort(closed);
    for (const { stop } of this.#claims.values()) stop.abort(closed);
    for (const watch of [...this.#watches.values()].flatMap((some) => [...some])) watch.wake();
  }

  /**
   * Registers a task that is being resolved, until disposal. The signal aborts when the task is cancelled before it is
   * accepted.
   */
  claim(
    name: TaskName,
    { uuid, results }: { uuid: string; results: number },
  ): { signal: AbortSignal } & Disposable {
    const stop = new AbortController();
    if (this.closing.aborted) stop.abort(this.closing.reason);
    const key = keyOf(name);
    this.#claims.set(key, { uuid, results, stop });
    return { signal: stop.signal, [Symbol.dispose]: () => void this.#claims.delete(key) };
  }

  /** The server's own id of a task that is being resolved. */
  claimed(name: TaskName): string | undefined {
    return this.#claims.get(keyOf(name))?.uuid;
  }

  /** The number of cancelled results; undefined when the task is not being resolved. */
  cancelClaim(name: TaskName): number | undefined {
    const claim = this.#claims.get(keyOf(name));
    if (!claim) return undefined;
    claim.stop.abort(new RetouchError('jobAborted', 'The task was cancelled before its image was finished.'));
    return claim.results;
  }

  /** How far an image is; undefined until its making begins. */
  progress(result: string): ProgressState | undefined {
    return this.#progress.get(result)?.state;
  }

  setProgress(result: string, progress: ImageProgress | undefined): void {
    if (progress === undefined) this.#progress.delete(result);
    else this.#progress.set(result, progress);
  }

  /** Adds a follower; disposing of the return value removes it. */
  follow(task: string, follower: Follower): Disposable {
    const followers = this.#followers.get(task) ?? new Set();
    this.#followers.set(task, followers.add(follower));
    const leave = () => {
      followers.delete(follower);
      if (followers.size === 0) this.#followers.delete(task);
    };
    return { [Symbol.dispose]: leave };
  }

  /** The largest number of previews that a follower of the task asks for. */
  previews(task: string): number {
    return Math.max(0, ...[...(this.#followers.get(task) ?? [])].map(({ previews }) => previews));
  }

  /** Passes an engine event of an image to the task's followers. */
  tell(task: string, result: string, event: EngineEvent): void {
    for (const follower of this.#followers.get(task) ?? []) follower.onEvent(result, event);
  }

  /** Call after a change of a task. */
  announce(task: string): void {
    for (const watch of this.#watches.get(task) ?? []) watch.wake();
  }

  /** Waits for changes of a task. The caller must close it; closing the tracker wakes it too. */
  watch(task: string): Watch {
    const watches = this.#watches.get(task) ?? new Set();
    const watch = new Watch(() => {
      watches.delete(watch);
      if (watches.size === 0) this.#watches.delete(task);
    });
    this.#watches.set(task, watches.add(watch));
    return watch;
  }
}

/** A waiter for changes of a task. */
export class Watch {
  readonly close: () => void;
  #change = Promise.withResolvers<void>();

  constructor(close: () => void) {
    this.close = close;
  }

  /** The next change from now on. */
  next(): Promise<void> {
    this.#change = Promise.withResolvers<void>();
    return this.#change.promise;
  }

  wake(): void {
    this.#change.resolve();
  }
}
