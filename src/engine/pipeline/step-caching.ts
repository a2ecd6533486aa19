/** The step cache of one image: a separate pass for each conditioning, and the statistics of the savings. */
import type { CachePlan } from '../caches/index.ts';
import { CachedPass, type CacheSessions } from '../networks/cached-pass.ts';
import type { Cached, Conditioning } from '../networks/transformer.ts';
import type { EngineEvent } from '../plan.ts';

/** How long evaluations took, by whether they were reused. */
type Times = { count: number; milliseconds: number };

export class StepCaching {
  private step = 0;
  private readonly plan: CachePlan;
  private readonly steps: number;
  private readonly sessions: CacheSessions;
  private readonly passes = new Map<Conditioning, CachedPass>();
  private readonly computed: Times = { count: 0, milliseconds: 0 };
  private readonly reusedTimes: Times = { count: 0, milliseconds: 0 };
  private reusedBefore = 0;

  constructor(plan: CachePlan, steps: number, sessions: CacheSessions) {
    this.plan = plan;
    this.steps = steps;
    this.sessions = sessions;
  }

  /** Evaluations reused so far. */
  get reused(): number {
    return this.sum('reused');
  }

  /** One evaluation of the network in the present step; `compute` is given the cache of its pass. */
  async evaluate(
    given: Conditioning,
    compute: (cached: Cached) => Promise<Float32Array>,
  ): Promise<Float32Array> {
    const known = this.passes.get(given);
    const pass = known ?? new CachedPass(this.plan, this.steps, this.sessions);
    this.passes.set(given, pass);
    const [before, begin] = [pass.reused, performance.now()];
    const v = await compute({ pass, step: this.step });
    // The first evaluation of a pass also warms up: it would overstate the time of a computed one.
    if (known) {
      const times = pass.reused > before ? this.reusedTimes : this.computed;
      times.count++;
      times.milliseconds += performance.now() - begin;
    }
    return v;
  }

  /** Ends the present step of the sampler; gives the number of its evaluations that were reused. */
  endStep(): number {
    const reused = this.reused - this.reusedBefore;
    this.reusedBefore += reused;
    this.step++;
    return reused;
  }

  summary(): EngineEvent & { type: 'cache-end' } {
    const { computed, reusedTimes } = this;
    const each = computed.count > 0 ? computed.milliseconds / computed.count : 0;
    const saved = Math.max(reusedTimes.count * each - reusedTimes.milliseconds, 0);
    return {
      type: 'cache-end',
      cache: this.plan.name,
      evaluations: this.sum('evaluations'),
      reused: this.reused,
      savedMilliseconds: saved,
    };
  }

  release(): void {
    for (const pass of this.passes.values()) pass.release();
  }

  private sum(what: 'evaluations' | 'reused'): number {
    return [...this.passes.values()].reduce((sum, pass) => sum + pass[what], 0);
  }
}
