/** The engines of this machine and those of workers as one pool. */

import type { EnginePool, PooledEngine } from '../engine/engine.ts';
import type { EngineEvent, Plan } from '../engine/plan.ts';

export class JoinedEngines implements EnginePool {
  /** An image goes to the first with a free engine that holds its model, else to the first with a free engine. */
  readonly #pools: readonly EnginePool[];
  readonly #running = new Map<EnginePool, number>();

  constructor(pools: readonly EnginePool[]) {
    this.#pools = pools;
  }

  get capacity(): number {
    return this.#pools.reduce((sum, { capacity }) => sum + capacity, 0);
  }

  get engines(): PooledEngine[] {
    return this.#pools.flatMap(({ engines }) => [...engines]);
  }

  /** The problems of all pools; undefined while one of them works. */
  get problem(): string | undefined {
    const problems = this.#pools.map(({ problem }) => problem);
    return problems.every((problem) => problem !== undefined) ? problems.join(' ') : undefined;
  }

  onGrowth(listener: () => void): void {
    for (const pool of this.#pools) pool.onGrowth(listener);
  }

  refusal(plan: Plan): string | undefined {
    const refusals = this.#pools.map((pool) => pool.refusal(plan));
    return refusals.every((refusal) => refusal !== undefined) ? refusals.join(' ') : undefined;
  }

  /** Only the pool of the workers tells needs apart. */
  needsOf(plan: Plan): string {
    return this.#pools.map((pool) => pool.needsOf(plan)).join('');
  }

  capacityFor(needs: string): number {
    return this.#pools.reduce((sum, pool) => sum + pool.capacityFor(needs), 0);
  }

  async *run(plan: Plan, signal?: AbortSignal, id?: string): AsyncGenerator<EngineEvent> {
    const pool = this.#choose(plan);
    this.#running.set(pool, this.#runningOf(pool) + 1);
    try {
      yield* pool.run(plan, signal, id);
    } finally {
      this.#running.set(pool, this.#runningOf(pool) - 1);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.close()));
  }

  #choose(plan: Plan): EnginePool {
    const able = this.#pools.filter((pool) => pool.refusal(plan) === undefined);
    const free = able.filter((pool) => this.#runningOf(pool) < pool.capacity);
    const holding = free.find((pool) =>
      pool.engines.some(({ state, model }) => state === 'ready' && model === plan.model.air),
    );
    // Where none is free, the last one's images wait for any of the workers.
    return holding ?? free[0] ?? able.at(-1) ?? this.#pools[0]!;
  }

  #runningOf(pool: EnginePool): number {
    return this.#running.get(pool) ?? 0;
  }
}
