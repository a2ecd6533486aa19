/** The keys and values of reference tokens that one pass of one image keeps from step to step. */
import { referenceName } from '../nn/kept-references.ts';
import type { Feeds, Tensor } from '../onnx/tensor.ts';

/** The blocks' inputs for a step that runs without the references' rows, or undefined for one that computes them. */
export type Reuse = { feeds: Feeds; ids: Float32Array };

export class KeptReferences {
  evaluations = 0;
  reused = 0;
  private readonly interval: number;
  private kept: Record<string, Tensor> = {};
  private ownIds: { all: Float32Array; own: Float32Array } | undefined;
  private computedAt: number | undefined;
  private network: unknown;

  /** @param interval the references are computed in every interval-th step; Infinity computes them once */
  constructor(interval: number) {
    this.interval = interval;
  }

  /**
   * @param network identity of the network with its LoRAs: another object means another network, whose keys differ
   * @param ids positions of text, target and reference tokens [S, 3], of which the first `own` are not references'
   */
  begin(step: number, network: unknown, { ids, own }: { ids: Float32Array; own: number }): Reuse | undefined {
    if (network !== this.network) this.computedAt = undefined;
    this.network = network;
    if (this.computedAt === undefined || step - this.computedAt >= this.interval) {
      // Before the new ones are computed, so that memory holds them once.
      this.release();
      return undefined;
    }
    // One array for all steps: the rotary table is kept by its identity.
    if (this.ownIds?.all !== ids) this.ownIds = { all: ids, own: ids.subarray(0, own * 3) };
    return { feeds: this.kept, ids: this.ownIds.own };
  }

  /** Keeps what the blocks of a segment have computed. */
  keep(results: Readonly<Record<string, Tensor>>): void {
    for (const [name, value] of Object.entries(results)) {
      const kept = referenceName.keptOf(name);
      if (kept !== undefined) this.kept[kept] = value;
    }
  }

  /** Every block has run in this step, where the references were computed or taken from an earlier one. */
  complete(step: number, reused: boolean): void {
    this.evaluations++;
    if (reused) this.reused++;
    else this.computedAt = step;
  }

  release(): void {
    for (const value of Object.values(this.kept)) value.dispose?.();
    this.kept = {};
    this.computedAt = undefined;
  }
}
