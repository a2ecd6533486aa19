/** The kept references of one image: a separate pass for each conditioning, as the texts differ. */
import { KeptReferences } from '../networks/kept-references.ts';
import type { Conditioning } from '../networks/transformer.ts';
import type { EngineEvent } from '../plan.ts';

export class ReferenceKeeping {
  private readonly interval: number;
  private readonly passes = new Map<Conditioning, KeptReferences>();

  constructor(interval: number) {
    this.interval = interval;
  }

  of(given: Conditioning): KeptReferences {
    const kept = this.passes.get(given) ?? new KeptReferences(this.interval);
    this.passes.set(given, kept);
    return kept;
  }

  summary(): EngineEvent & { type: 'references-end' } {
    const sum = (what: 'evaluations' | 'reused') =>
      [...this.passes.values()].reduce((total, pass) => total + pass[what], 0);
    return { type: 'references-end', evaluations: sum('evaluations'), reused: sum('reused') };
  }

  release(): void {
    for (const kept of this.passes.values()) kept.release();
  }
}
