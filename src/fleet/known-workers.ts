/** The workers as a server last saw them: what they can make, and what none of them can. */

import type { PooledEngine } from '../engine/engine.ts';
import type { Log } from '../log.ts';
import type { Need } from './catalog.ts';
import type { WorkerEntry } from './registry.ts';

/** Milliseconds that a worker which has left is expected back: tasks for it are accepted. */
const patience = 600_000;

export class KnownWorkers {
  readonly #version: string;
  readonly #log: Log;
  /** Workers of all versions. `left`: when the worker disappeared, in `performance.now()`. */
  readonly #workers = new Map<string, { entry: WorkerEntry; left?: number }>();
  readonly #warned = new Set<string>();

  constructor(version: string, log: Log) {
    this.#version = version;
    this.#log = log;
  }

  get capacity(): number {
    return this.capacityFor([]);
  }

  /** Engines of the workers that have everything that is needed. */
  capacityFor(needs: readonly Need[]): number {
    const able = this.#able().filter(({ have }) => needs.every((need) => includes(have, need)));
    return able.reduce((sum, worker) => sum + usable(worker), 0);
  }

  get engines(): PooledEngine[] {
    return this.#able().flatMap(({ name: worker, engines }) =>
      engines.map((engine) => ({ ...engine, name: `${worker}/${engine.name}`, pid: undefined })),
    );
  }

  /** `entries` are all that live now. Whether a worker came or has more engines than before. */
  see(entries: readonly WorkerEntry[]): boolean {
    const now = performance.now();
    const before = new Map(this.#able().map((worker) => [worker.id, usable(worker)]));
    const present = new Set(entries.map(({ id }) => id));
    for (const entry of entries) {
      this.#workers.set(entry.id, { entry });
      this.#warnOfVersion(entry);
    }
    for (const [id, worker] of this.#workers) {
      if (present.has(id)) continue;
      worker.left ??= now;
      if (now - worker.left > patience) this.#workers.delete(id);
    }
    return this.#able().some((worker) => usable(worker) > (before.get(worker.id) ?? 0));
  }

  /** While no worker is known at all, or one that could do it has left a short time ago, images wait: undefined. */
  refusal(needs: readonly Need[]): string | undefined {
    const known = [...this.#workers.values()].map(({ entry }) => entry);
    if (known.length === 0) return undefined;
    const able = known.filter(({ version }) => version === this.#version);
    if (able.length === 0) {
      const found = known.map(({ name, version }) => `${name} has ${version}`).join(', ');
      return `No worker has version ${this.#version} of Retouch, as this server does: ${found}.`;
    }
    if (able.some(({ have }) => needs.every((need) => includes(have, need)))) return undefined;
    const lacking = needs.filter((need) => !able.some(({ have }) => includes(have, need)));
    if (lacking.length === 0) return `No worker has all of ${list(needs)}.`;
    const isThere = ({ air }: Need) => able.some(({ have }) => have.some((each) => each.air === air));
    const [missing, other] = [lacking.filter((need) => !isThere(need)), lacking.filter(isThere)];
    return [
      ...(missing.length > 0 ? [`No worker has ${list(missing)}.`] : []),
      ...(other.length > 0 ? [`The workers have other files of ${list(other)} than this server.`] : []),
    ].join(' ');
  }

  /** The workers that this server can use. */
  #able(): WorkerEntry[] {
    return [...this.#workers.values()]
      .filter(({ entry, left }) => left === undefined && entry.version === this.#version)
      .map(({ entry }) => entry);
  }

  #warnOfVersion({ id, name, version }: WorkerEntry): void {
    if (version === this.#version || this.#warned.has(id)) return;
    this.#warned.add(id);
    this.#log.warn(
      `The worker ${name} has version ${version}, this server ${this.#version}: it is given no images.`,
    );
  }
}

/** Engines that take images. */
function usable({ draining, engines }: WorkerEntry): number {
  return draining ? 0 : engines.length;
}

function includes(have: readonly Need[], { air, hash }: Need): boolean {
  return have.some((each) => each.air === air && each.hash === hash);
}

function list(needs: readonly Need[]): string {
  return needs.map(({ air }) => air).join(', ');
}
