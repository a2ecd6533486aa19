/** A least-recently-used cache of LoRAs with a byte limit: a request that switches between cached LoRAs reads no file. */
import fs from 'node:fs';
import { RetouchError } from '../../../error.ts';
import type { Components } from '../../networks/components.ts';
import { ActiveLoras, type LoraUse } from './active.ts';
import { measureGains } from './gains.ts';
import { type Layers, layersOf } from './layers.ts';
import { bytesOf, type Prepared, prepare, preparedArrays } from './prepare.ts';
import { readLora } from './read.ts';
import type { LoraStage } from './stages.ts';

/** A LoRA as a Plan has it: it changes every step's network, or those of one stage (stages.ts). */
export type PlannedLora = { air: string; file: string; weight: number; stage: LoraStage };

type Entry = { bytes: number; prepared: Prepared };

export type LoraCacheOptions = { limit: number; threads: number; memory?: number };

export class LoraCache {
  private readonly limit: number;
  private readonly threads: number;
  private readonly memory: number;
  /** In the order of use, the least recent first. */
  private readonly entries = new Map<string, Entry>();
  /** The last set of LoRAs: all results of one task use the same set, so its feeds are built once. */
  private last: { set: string; active: ActiveLoras } | undefined;
  private named: { model: string; layers: Layers } | undefined;

  /**
   * @param options.limit bytes that stay cached besides the LoRAs of the current run
   * @param options.threads compute threads for LoRAs that need arithmetic when they are read (DoRA)
   * @param options.memory the engine's memory limit in bytes: a file that would exceed it is not read
   */
  constructor({ limit, threads, memory = Number.POSITIVE_INFINITY }: LoraCacheOptions) {
    this.limit = limit;
    this.threads = threads;
    this.memory = memory;
  }

  /** Bytes of the LoRAs that were read and of the feeds of the run under way. */
  get bytes(): number {
    const arrays = new Set([
      ...[...this.entries.values()].flatMap(({ prepared }) => preparedArrays(prepared)),
      ...(this.last?.active.arrays() ?? []),
    ]);
    return bytesOf(arrays);
  }

  /** Frees the LoRAs that the run under way does not use. */
  trim(): void {
    for (const [key, { prepared }] of [...this.entries])
      if (!this.last?.active.uses.some((use) => use.prepared === prepared)) this.entries.delete(key);
  }

  /** Reads the requested LoRAs that are not cached and reports progress before each. Throws as `readLora` does. */
  async *open(
    requests: readonly PlannedLora[],
    components: Components,
  ): AsyncGenerator<{ message: string; fraction: number }, ActiveLoras> {
    const wanted = requests.filter(({ weight }) => weight !== 0);
    const fileKey = (file: string) => `${identity(file)} on ${modelOf(components)}`;
    const set = JSON.stringify(wanted.map(({ file, weight, stage }) => [fileKey(file), weight, stage]));
    if (this.last?.set !== set) this.last = undefined;
    const uses: LoraUse[] = [];
    for (const [i, { air, file, weight, stage }] of wanted.entries()) {
      const key = fileKey(file);
      let entry = this.entries.get(key);
      if (!entry) {
        const message = `reading LoRA ${air}`;
        yield { message, fraction: i / wanted.length };
        const updates = named(air, () =>
          readLora(file, this.layersOf(components), this.memory - bytesOfUses(uses)),
        );
        const measuring = measureGains(updates, components, this.threads);
        let next = await measuring.next();
        for (; !next.done; next = await measuring.next())
          yield { message, fraction: (i + next.value) / wanted.length };
        const measured = next.value;
        const prepared = prepare(measured);
        entry = { bytes: bytesOf(new Set(preparedArrays(prepared))), prepared };
      }
      this.entries.delete(key);
      this.entries.set(key, entry);
      this.makeRoom();
      uses.push({ file: key, weight, stage, prepared: entry.prepared });
    }
    this.last ??= { set, active: new ActiveLoras(uses) };
    return this.last.active;
  }

  private makeRoom(): void {
    let kept = [...this.entries.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    for (const [key, { bytes }] of [...this.entries]) {
      if (kept <= this.limit) return;
      this.entries.delete(key);
      kept -= bytes;
    }
  }

  private layersOf(components: Components): Layers {
    const model = modelOf(components);
    if (this.named?.model !== model) this.named = { model, layers: layersOf(components) };
    return this.named.layers;
  }
}

function bytesOfUses(uses: readonly LoraUse[]): number {
  return bytesOf(new Set(uses.flatMap(({ prepared }) => preparedArrays(prepared))));
}

/** Adds the LoRA's id to an error: clients do not know its file. */
function named<T>(air: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof RetouchError)) throw error;
    throw new RetouchError(
      error.code,
      `LoRA ${air}: ${error.message}`,
      { ...error.details, air },
      { cause: error },
    );
  }
}

/** Key of a file; a file that was replaced has another. */
function identity(file: string): string {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  return stat ? `${file}:${stat.size}:${stat.mtimeMs}` : file;
}

function modelOf({ transformer, clip, t5 }: Components): string {
  return [transformer, clip, t5].map(({ source }) => source.checkpoint.path).join(' ');
}
