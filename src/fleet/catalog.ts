/** The models and adapters of this machine as the fleet names them: by AIR and fingerprint, never by path. */

import type { ToolSource } from '../engine/plan.ts';
import { type Adapter, type Model, type ModelStore, pathsOf } from '../store/models.ts';
import { fingerprint } from './fingerprint.ts';

/** A model or an adapter that an image needs. */
export type Need = { air: string; hash: string };

/** Replaces a path in the plan. */
export type FileName = { air: string; role: string };

export class Catalog {
  readonly #models: ReadonlyMap<string, Model>;
  readonly #adapters: ReadonlyMap<string, Adapter>;
  readonly #hashes: ReadonlyMap<string, string>;
  readonly #names = new Map<string, FileName>();

  private constructor({ models, adapters }: ModelStore, hashes: ReadonlyMap<string, string>) {
    this.#models = new Map(models.map((model) => [model.air, model]));
    this.#adapters = new Map(adapters.map((adapter) => [adapter.air, adapter]));
    this.#hashes = hashes;
    for (const { air, files } of adapters)
      for (const [role, path] of Object.entries(files)) this.#names.set(path, { air, role });
  }

  /** Models whose files cannot be read are left out. */
  static async of(store: ModelStore): Promise<Catalog> {
    const hashes = new Map<string, string>();
    for (const model of [...store.models, ...store.adapters]) {
      const hash = await fingerprint(pathsOf(model));
      if (hash !== undefined) hashes.set(model.air, hash);
    }
    return new Catalog(store, hashes);
  }

  /** Everything that is here. */
  get have(): Need[] {
    return [...this.#hashes].map(([air, hash]) => ({ air, hash }));
  }

  has({ air, hash }: Need): boolean {
    return this.#hashes.get(air) === hash;
  }

  /** Undefined for what is not here. */
  need(air: string): Need | undefined {
    const hash = this.#hashes.get(air);
    return hash === undefined ? undefined : { air, hash };
  }

  model(air: string): Model['source'] | undefined {
    return this.#models.get(air)?.source;
  }

  /** The name of an adapter's file. Adapters may share one, such as an image encoder: `air` names the one that is meant. */
  nameOf(path: string, air: string): FileName | undefined {
    const own = Object.entries(this.#adapters.get(air)?.files ?? {}).find(([, file]) => file === path);
    return own ? { air, role: own[0] } : this.#names.get(path);
  }

  pathOf({ air, role }: FileName): string | undefined {
    return this.#adapters.get(air)?.files[role];
  }

  /** The files of a tool, in the place of those that a plan was made with. */
  toolFiles(air: string): ToolSource['files'] | undefined {
    return this.#adapters.get(air)?.files;
  }
}
