/** The step cache of one image: a pass of its own for each conditioning, and the account of what was saved. */
import { CachedPass, type CacheSessions } from '../networks/cached-pass.ts';
import type { Conditioning } from '../networks/transformer.ts';
import type { CachePlan, EngineEvent } from '../plan.ts';

/** How long evaluations took, by whether they were reused. */
type Times = { count: number; milliseconds: number };

export class StepCaching {
  /** The step under way; whoever runs the steps moves it on. */
  step = 0;
  private readonly plan: CachePlan;
  private readonly steps: number;
  private readonly sessions: CacheSessions;
  private readonly passes = new Map<Conditioning, CachedPass>();
  private readonly computed: Times = { count: 0, milliseconds: 0 };
  private readonly reused: Times = { count: 0, milliseconds: 0 };
  private told = 0;

  constructor(plan: CachePlan, steps: number, sessions: CacheSessions) {
    this.plan = plan;
    this.steps = steps;
    this.sessions = sessions;
  }

  /** One evaluation of the network; `compute` is given what its pass keeps. */
  async evaluate(
    given: Conditioning,
    compute: (cached: { pass: CachedPass; step: number }) => Promise<Float32Array>,
  ): Promise<Float32Array> {
    const known = this.passes.get(given);
    const pass = known ?? new CachedPass(this.plan, this.steps, this.sessions);
    this.passes.set(given, pass);
    const [before, begin] = [pass.reused, performance.now()];
    const v = await compute({ pass, step: this.step });
    // The first evaluation of a pass does what later ones need not: it would be no measure of a computed one.
    if (known) {
      const times = pass.reused > before ? this.reused : this.computed;
      times.count++;
      times.milliseconds += performance.now() - begin;
    }
    return v;
  }

  /** Evaluations reused since it was last asked. */
  takeReused(): number {
    const since = this.sum('reused') - this.told;
    this.told += since;
    return since;
  }

  summary(): EngineEvent & { type: 'cache-end' } {
    const { computed, reused } = this;
    const each = computed.count > 0 ? computed.milliseconds / computed.count : 0;
    const saved = Math.max(reused.count * each - reused.milliseconds, 0);
    return {
      type: 'cache-end',
      cache: this.plan.name,
      evaluations: this.sum('evaluations'),
      reused: this.sum('reused'),
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
