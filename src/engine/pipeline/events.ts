/** The engine's work as a stream of events. */
import type { Loading } from '../networks/loadable.ts';
import type { EngineEvent, StageName } from '../plan.ts';

export type Events<T = void> = AsyncGenerator<EngineEvent, T>;

/** The loading of networks as events of a stage. */
export async function* staged<T>(stage: StageName, work: Loading<T>): Events<T> {
  for (;;) {
    const next = await work.next();
    if (next.done) return next.value;
    yield { type: 'stage-progress', stage, loads: true, ...next.value };
  }
}
