/** The LoRAs of one plan, read: what each network is fed at a noise level. */
import type { LowRankFeed, LowRankFeeds } from '../../onnx/session.ts';
import { f32Tensor } from '../../onnx/session.ts';
import type { Network } from './layers.ts';
import type { Prepared, PreparedLayer } from './prepare.ts';
import { activeAt, type LoraStage } from './stages.ts';

export type LoraUse = { file: string; weight: number; stage: LoraStage; prepared: Prepared };

type Weighted = { layer: PreparedLayer; weight: number };

export class ActiveLoras {
  private readonly uses: readonly LoraUse[];
  private readonly feeds = new Map<string, LowRankFeeds>();

  constructor(uses: readonly LoraUse[]) {
    this.uses = uses;
  }

  /** For an evaluation of the transformer at noise level `sigma`; the same object as long as the same LoRAs act. */
  transformer(sigma: number): LowRankFeeds {
    const active = activeAt(this.uses, sigma);
    const key = this.uses.map((use) => Number(active.includes(use))).join('');
    return this.memoized(`transformer ${key}`, () => stack(active, 'transformer'));
  }

  /** Prompts are encoded once, before any step: text encoders' parts act whatever the stage. */
  text(): Record<'clip' | 't5', LowRankFeeds> {
    const of = (network: Network) => this.memoized(network, () => stack(this.uses, network));
    return { clip: of('clip'), t5: of('t5') };
  }

  /** What an encoded prompt depends on: the files that change a text encoder, and their weights. */
  textKey(): string {
    const changing = this.uses.filter(({ prepared }) => prepared.clip.size + prepared.t5.size > 0);
    return JSON.stringify(changing.map(({ file, weight }) => [file, weight]));
  }

  private memoized(key: string, make: () => LowRankFeeds): LowRankFeeds {
    const known = this.feeds.get(key);
    if (known) return known;
    const made = make();
    this.feeds.set(key, made);
    return made;
  }
}

function stack(uses: readonly LoraUse[], network: Network): LowRankFeeds {
  // The same file twice is one with the sum of the weights.
  const weights = new Map<Prepared, number>();
  for (const { prepared, weight } of uses) weights.set(prepared, (weights.get(prepared) ?? 0) + weight);
  const bySlot = new Map<string, Weighted[]>();
  for (const [prepared, weight] of weights) {
    if (weight === 0) continue;
    for (const [name, layer] of prepared[network]) {
      const list = bySlot.get(name) ?? [];
      list.push({ layer, weight });
      bySlot.set(name, list);
    }
  }
  return new Map([...bySlot].map(([name, list]) => [name, join(list)]));
}

/** Updates of one layer are one of the sum of their ranks: A's columns and B's rows side by side. */
function join(list: readonly Weighted[]): LowRankFeed {
  const { slot } = list[0]!.layer;
  const rank = list.reduce((sum, { layer }) => sum + layer.rank, 0);
  const { inputs, outputs } = slot;
  const feed = (a: Float32Array, b: Float32Array) => ({
    a: f32Tensor(a, [inputs, rank]),
    b: f32Tensor(b, [rank, outputs]),
  });
  const [only] = list;
  if (list.length === 1 && only) {
    const { a, b } = only.layer;
    return feed(a, only.weight === 1 ? b : b.map((value) => value * only.weight));
  }
  const a = new Float32Array(inputs * rank);
  const b = new Float32Array(rank * outputs);
  let at = 0;
  for (const { layer, weight } of list) {
    for (let k = 0; k < inputs; k++)
      a.set(layer.a.subarray(k * layer.rank, (k + 1) * layer.rank), k * rank + at);
    layer.b.forEach((value, i) => {
      b[at * outputs + i] = value * weight;
    });
    at += layer.rank;
  }
  return feed(a, b);
}
