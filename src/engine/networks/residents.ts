/** Which networks stay loaded: all of them when memory allows, otherwise those used last. */
import { RetouchError } from '../../error.ts';
import type { Progress } from './compile.ts';

/** Bytes of weights, which stay, and of what a network works in while it runs. */
export type Need = { bytes: number; working: number };

type Resident = { bytes: number; value: { release(): Promise<void> } };

/** What lies in memory beside the networks: LoRAs. */
export type Beside = {
  readonly bytes: number;
  /** Gives up what the run under way does not use. */
  trim(): void;
};

const nothing: Beside = { bytes: 0, trim() {} };

export class Residents {
  private readonly limit: number;
  private readonly beside: Beside;
  /** In the order of use, the least recent first. */
  private readonly loaded = new Map<string, Resident>();

  /** @param limit bytes all of them may take together with the working memory of the one in use and what is beside them */
  constructor(limit: number, beside = nothing) {
    this.limit = limit;
    this.beside = beside;
  }

  /**
   * The network called `key`, loaded unless it still is. What is beside the networks is trimmed and others are
   * released, the least recently used first, until its weights (`bytes`) and what it needs while it runs (`working`) fit.
   *
   * @throws RetouchError `notEnoughMemory` when they do not fit even alone, before anything is loaded
   */
  async *acquire<T extends { release(): Promise<void> }>(
    key: string,
    need: Need,
    load: () => AsyncGenerator<Progress, T>,
  ): AsyncGenerator<Progress, T> {
    const known = this.loaded.get(key);
    this.checkFits(key, need);
    await this.makeRoom(key, need.bytes + need.working);
    const value = known ? (known.value as T) : yield* load();
    this.loaded.delete(key);
    this.loaded.set(key, { bytes: need.bytes, value });
    return value;
  }

  /** @throws RetouchError `notEnoughMemory` */
  checkFits(key: string, { bytes, working }: Need): void {
    if (bytes + working + this.beside.bytes <= this.limit) return;
    this.beside.trim();
    if (bytes + working + this.beside.bytes > this.limit) throw this.tooLarge(key, bytes, working);
  }

  has(key: string): boolean {
    return this.loaded.has(key);
  }

  async drop(key: string): Promise<void> {
    const resident = this.loaded.get(key);
    this.loaded.delete(key);
    await resident?.value.release();
  }

  /** Whether networks of these needs, one running at a time, fit together. */
  holds(needs: readonly Need[]): boolean {
    const weights = needs.reduce((sum, { bytes }) => sum + bytes, 0);
    const working = Math.max(...needs.map(({ working }) => working));
    return weights + working + this.beside.bytes <= this.limit;
  }

  async release(): Promise<void> {
    await this.makeRoom('', Number.POSITIVE_INFINITY);
  }

  private async makeRoom(key: string, needed: number): Promise<void> {
    const fits = () => {
      const others = [...this.loaded].reduce((sum, [name, { bytes }]) => sum + (name === key ? 0 : bytes), 0);
      return others + needed + this.beside.bytes <= this.limit;
    };
    if (!fits()) this.beside.trim();
    for (const [other, resident] of [...this.loaded]) {
      if (fits()) return;
      if (other === key) continue;
      this.loaded.delete(other);
      await resident.value.release();
    }
  }

  private tooLarge(key: string, bytes: number, working: number): RetouchError {
    const beside = this.beside.bytes;
    const needed = bytes + working + beside;
    const [all, weights, work, loras, limit] = [needed, bytes, working, beside, this.limit].map(inUnits);
    const parts = `${weights} of weights${beside > 0 ? `, ${loras} of LoRAs` : ''} and ${work} to work in`;
    return new RetouchError(
      'notEnoughMemory',
      `Not enough memory for the ${key}: ${all} are needed (${parts}), and the engine may use ${limit}. A smaller precision takes less (--precision int8 about a quarter of f32, int4 about a sixth), and --memory-limit allows more.`,
      { needed, limit: this.limit },
    );
  }
}

function inUnits(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
