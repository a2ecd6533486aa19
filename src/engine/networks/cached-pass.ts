/** The tensors that a step cache keeps from step to step for one pass of one image. */
import { CacheClock, type CachePlan, caches, type StepCache } from '../caches/index.ts';
import type { CacheGraphName } from '../models/cache-graphs.ts';
import type { Session } from '../onnx/session.ts';
import { floats, type Tensor } from '../onnx/tensor.ts';

export type CacheSessions = Record<CacheGraphName, Session>;

/** Tensors that the cache may read its signal from: the image's tokens [L, D] at two places, and a modulation. */
export type Look = {
  /** After the embedding, before any block. */
  start: Tensor;
  /** The segment whose input or output the cache compares. */
  img: Tensor;
  /** The modulation of the first block, [1, 6·D]. */
  imgMod: Tensor;
  /**
   * Identity of the network with its LoRAs, which change with the noise level: another object means another network.
   */
  network: unknown;
};

export class CachedPass {
  readonly cache: StepCache;
  evaluations = 0;
  reused = 0;
  private readonly clock: CacheClock;
  private readonly sessions: CacheSessions;
  private signal: Tensor | undefined;
  /** Sum that the rest of the blocks added at its last computed evaluation. */
  private residual: Tensor | undefined;
  private network: unknown;

  constructor(plan: CachePlan, steps: number, sessions: CacheSessions) {
    this.cache = caches[plan.name];
    this.clock = new CacheClock(plan, steps, this.cache.decider(plan.threshold));
    this.sessions = sessions;
  }

  /** The image's tokens after the last block, without running the rest of the blocks; undefined when they must run. */
  async reuse(step: number, { start, img, imgMod, network }: Look): Promise<Tensor | undefined> {
    if (network !== this.network) this.clock.refresh();
    this.network = network;
    const signal =
      this.cache.after === 'nothing'
        ? await this.run('modulated', { a: img, img_mod: imgMod })
        : await this.run('difference', { a: img, b: start });
    const distance = this.signal && (await this.distance(signal, this.signal));
    const reuses = this.clock.decide(step, distance) && this.residual !== undefined;
    if (reuses && this.cache.against === 'computed') signal.dispose?.();
    else {
      this.signal?.dispose?.();
      this.signal = signal;
    }
    this.evaluations++;
    if (!reuses) return undefined;
    this.reused++;
    return this.run('sum', { a: img, b: this.residual! });
  }

  /** After the rest of the blocks has run from `img` to `out`. */
  async keep(img: Tensor, out: Tensor): Promise<void> {
    this.residual?.dispose?.();
    this.residual = await this.run('difference', { a: out, b: img });
  }

  release(): void {
    this.signal?.dispose?.();
    this.residual?.dispose?.();
    this.signal = undefined;
    this.residual = undefined;
  }

  /** mean|a - b| / mean|b|. */
  private async distance(a: Tensor, b: Tensor): Promise<number> {
    const { change, size } = await this.sessions.distance.run({ a, b });
    return floats(change!)[0]! / floats(size!)[0]!;
  }

  private async run(name: CacheGraphName, feeds: Record<string, Tensor>): Promise<Tensor> {
    return (await this.sessions[name].run(feeds)).out!;
  }
}
