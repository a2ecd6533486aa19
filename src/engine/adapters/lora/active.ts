/** The LoRAs of one plan, read: the forms that networks are compiled for, and their feeds at a noise level. */
import type { Feeds } from '../../onnx/tensor.ts';
import type { UpdateForm } from '../../weights/weights.ts';
import { arraysOf, layerFeed, type Weighted } from './feed.ts';
import type { Network } from './layers.ts';
import { bytesOf, formOf, type Prepared, preparedArrays } from './prepare.ts';
import { activeAt, type LoraStage } from './stages.ts';

export type LoraUse = { file: string; weight: number; stage: LoraStage; prepared: Prepared };

/** One noise level of each stage: the feeds are the same at all levels of a stage. */
const stageLevels = [1, 0];

export class ActiveLoras {
  readonly uses: readonly LoraUse[];
  private readonly feeds = new Map<string, Feeds>();

  constructor(uses: readonly LoraUse[]) {
    this.uses = uses;
    // All feeds of the run, so that their memory is known before the networks are loaded.
    for (const sigma of stageLevels) this.transformer(sigma);
    this.text();
  }

  /** Arrays held in memory: the files' own and those derived from them. */
  arrays(): Float32Array[] {
    const feeds = [...this.feeds.values()].flatMap(arraysOf);
    return [...this.uses.flatMap(({ prepared }) => preparedArrays(prepared)), ...feeds];
  }

  /** Feeds of the transformer at noise level `sigma`; the same object as long as the same LoRAs act. */
  transformer(sigma: number): Feeds {
    const active = activeAt(this.uses, sigma);
    const key = this.uses.map((use) => Number(active.includes(use))).join('');
    return this.memoized(`transformer ${key}`, () => this.stack(active, 'transformer'));
  }

  /**
   * Feeds of the text encoders. Prompts are encoded once, before any step, so these parts act independently of the
   * stage.
   */
  text(): Record<'clip' | 't5', Feeds> {
    const of = (network: Network) => this.memoized(network, () => this.stack(this.uses, network));
    return { clip: of('clip'), t5: of('t5') };
  }

  /** Bytes of the transformer's feeds at one noise level: on a GPU they are copied to its memory. */
  transformerBytes(): number {
    const stages = stageLevels.map((sigma) => arraysOf(this.transformer(sigma)));
    return Math.max(...stages.map((arrays) => bytesOf(new Set(arrays))));
  }

  /** Key of encoded prompts: the files that change a text encoder, and their weights. */
  textKey(): string {
    const changing = this.uses.filter(({ prepared }) => prepared.clip.size + prepared.t5.size > 0);
    return JSON.stringify(changing.map(({ file, weight }) => [file, weight]));
  }

  /** Forms that layers of a network must be compiled for; empty for LoRAs that are low-rank products. */
  forms(network: Network): ReadonlyMap<string, UpdateForm> {
    const forms = new Map<string, UpdateForm>();
    for (const [name, list] of this.byLayer([], network)) {
      const form = formOf(list.map(({ layer }) => layer));
      if (form) forms.set(name, form);
    }
    return forms;
  }

  private memoized(key: string, make: () => Feeds): Feeds {
    const known = this.feeds.get(key);
    if (known) return known;
    const made = make();
    this.feeds.set(key, made);
    return made;
  }

  private stack(active: readonly LoraUse[], network: Network): Feeds {
    return Object.assign({}, ...[...this.byLayer(active, network).values()].map(layerFeed));
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
