/** The LoRAs of one plan, read: what each network is compiled for, and what it is fed at a noise level. */
import { f32Tensor, type LayerFeed, type LayerFeeds } from '../../onnx/session.ts';
import type { KroneckerForm, UpdateForm } from '../../weights/weights.ts';
import type { Network } from './layers.ts';
import { formOf, type Prepared, type PreparedLayer } from './prepare.ts';
import { activeAt, type LoraStage } from './stages.ts';

export type LoraUse = { file: string; weight: number; stage: LoraStage; prepared: Prepared };

/** A layer's updates by several LoRAs, each with a weight. */
type Weighted = { layer: PreparedLayer; weight: number };

export class ActiveLoras {
  private readonly uses: readonly LoraUse[];
  private readonly feeds = new Map<string, LayerFeeds>();

  constructor(uses: readonly LoraUse[]) {
    this.uses = uses;
  }

  /** For an evaluation of the transformer at noise level `sigma`; the same object as long as the same LoRAs act. */
  transformer(sigma: number): LayerFeeds {
    const active = activeAt(this.uses, sigma);
    const key = this.uses.map((use) => Number(active.includes(use))).join('');
    return this.memoized(`transformer ${key}`, () => this.stack(active, 'transformer'));
  }

  /** Prompts are encoded once, before any step: text encoders' parts act whatever the stage. */
  text(): Record<'clip' | 't5', LayerFeeds> {
    const of = (network: Network) => this.memoized(network, () => this.stack(this.uses, network));
    return { clip: of('clip'), t5: of('t5') };
  }

  /** What an encoded prompt depends on: the files that change a text encoder, and their weights. */
  textKey(): string {
    const changing = this.uses.filter(({ prepared }) => prepared.clip.size + prepared.t5.size > 0);
    return JSON.stringify(changing.map(({ file, weight }) => [file, weight]));
  }

  /** What layers of a network must be compiled for; empty for LoRAs that are plain products. */
  forms(network: Network): ReadonlyMap<string, UpdateForm> {
    const forms = new Map<string, UpdateForm>();
    for (const [name, list] of this.byLayer([], network)) {
      const found = list.flatMap(({ layer }) => formOf(layer) ?? []);
      if (found.length === 0) continue;
      const kroneckers: KroneckerForm[] = found.flatMap((form) => form.kroneckers);
      forms.set(name, { scaled: found.some(({ scaled }) => scaled), kroneckers });
    }
    return forms;
  }

  private memoized(key: string, make: () => LayerFeeds): LayerFeeds {
    const known = this.feeds.get(key);
    if (known) return known;
    const made = make();
    this.feeds.set(key, made);
    return made;
  }

  private stack(active: readonly LoraUse[], network: Network): LayerFeeds {
    const feeds = new Map<string, LayerFeed>();
    for (const [name, list] of this.byLayer(active, network)) {
      const feed = { ...lowRankFeed(list), ...formFeed(list) };
      if (Object.keys(feed).length > 0) feeds.set(name, feed);
    }
    return feeds;
  }

  /** Every layer that any of the LoRAs updates; the weight of one that is not active is 0. */
  private byLayer(active: readonly LoraUse[], network: Network): Map<string, Weighted[]> {
    // The same file twice is one with the sum of the weights.
    const weights = new Map<Prepared, number>();
    for (const use of this.uses) {
      const weight = active.includes(use) ? use.weight : 0;
      weights.set(use.prepared, (weights.get(use.prepared) ?? 0) + weight);
    }
    const layers = new Map<string, Weighted[]>();
    for (const [prepared, weight] of weights)
      for (const [name, layer] of prepared[network])
        layers.set(name, [...(layers.get(name) ?? []), { layer, weight }]);
    return layers;
  }
}

/** Updates of one layer are one of the sum of their ranks: A's columns and B's rows side by side. */
function lowRankFeed(all: readonly Weighted[]): LayerFeed {
  const list = all.filter(({ layer, weight }) => layer.rank > 0 && weight !== 0);
  const [only] = list;
  if (!only) return {};
  const { inputs, outputs } = only.layer.slot;
  const rank = list.reduce((sum, { layer }) => sum + layer.rank, 0);
  const feed = (a: Float32Array, b: Float32Array) => ({
    lora_a: f32Tensor(a, [inputs, rank]),
    lora_b: f32Tensor(b, [rank, outputs]),
  });
  if (list.length === 1) {
    const { a, b } = only.layer;
    return feed(a, only.weight === 1 ? b : times(b, only.weight));
  }
  const a = new Float32Array(inputs * rank);
  const b = new Float32Array(rank * outputs);
  let at = 0;
  for (const { layer, weight } of list) {
    for (let k = 0; k < inputs; k++)
      a.set(layer.a.subarray(k * layer.rank, (k + 1) * layer.rank), k * rank + at);
    b.set(times(layer.b, weight), at * outputs);
    at += layer.rank;
  }
  return feed(a, b);
}

/** A compiled form is fed even where it is to do nothing: factors of 1, and products of 0. */
function formFeed(list: readonly Weighted[]): LayerFeed {
  const feed: Record<string, ReturnType<typeof f32Tensor>> = {};
  const { outputs } = list[0]!.layer.slot;
  if (list.some(({ layer }) => layer.gain)) {
    const scale = new Float32Array(outputs).fill(1);
    for (const { layer, weight } of list)
      layer.gain?.forEach((value, n) => {
        scale[n]! += weight * value;
      });
    feed.scale = f32Tensor(scale, [1, outputs]);
  }
  const kroneckers = list.flatMap(({ layer, weight }) =>
    layer.kroneckers.map((kronecker) => ({ ...kronecker, weight })),
  );
  for (const [i, { form, left, right, weight }] of kroneckers.entries()) {
    const { a, b, c, d } = form;
    feed[`kronecker_${i}_left`] = f32Tensor(weight === 1 ? left : times(left, weight), [a, b]);
    feed[`kronecker_${i}_right`] = f32Tensor(right, [d, c]);
  }
  return feed;
}

function times(values: Float32Array, factor: number): Float32Array {
  return values.map((value) => factor * value);
}
