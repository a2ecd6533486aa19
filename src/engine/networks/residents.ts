/** Networks that stay loaded: all of them when memory allows, otherwise the most recently used. */
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import type { Loadable, Loading, Need, Network, SmallerWeights } from './loadable.ts';

type Resident = { bytes: number; value: Network };

/** Memory held besides the networks: cached LoRAs. */
export type Beside = {
  readonly bytes: number;
  /** Frees the part that the run under way does not use. */
  trim(): void;
};

const nothing: Beside = { bytes: 0, trim() {} };

export class Residents {
  private readonly limit: number;
  private readonly beside: Beside;
  private readonly processes: number;
  /** In the order of use, the least recent first. */
  private readonly loaded = new Map<string, Resident>();

  /**
   * @param limit bytes of all networks, of the working memory of the one in use, of `beside` and of `processes` together
   * @param processes bytes that the processes take whatever is loaded
   */
  constructor(limit: number, beside = nothing, processes = 0) {
    this.limit = limit;
    this.beside = beside;
    this.processes = processes;
  }

  /**
   * The network, loaded unless it still is. `beside` is trimmed and other networks are released, the least recently used
   * first, until its weights and its working memory fit.
   *
   * @throws RetouchError `notEnoughMemory` when they do not fit even alone, before anything is loaded
   */
  async *acquire<T extends Network>(network: Loadable<T>): Loading<T> {
    const { key, need } = network;
    const known = this.loaded.get(key);
    this.checkFits(network);
    await this.makeRoom(key, need.bytes + need.working);
    const value = known ? (known.value as T) : yield* network.load();
    this.loaded.delete(key);
    this.loaded.set(key, { bytes: staying(need), value });
    return value;
  }

  /** @throws RetouchError `notEnoughMemory` */
  checkFits(network: Loadable<Network>): void {
    if (this.holds([network])) return;
    this.beside.trim();
    if (!this.holds([network])) throw this.tooLarge(network);
  }

  has({ key }: Loadable<Network>): boolean {
    return this.loaded.has(key);
  }

  async drop({ key }: Loadable<Network>): Promise<void> {
    const resident = this.loaded.get(key);
    this.loaded.delete(key);
    await resident?.value.release();
  }

  /** Whether these networks, one running at a time, fit together. */
  holds(networks: readonly Pick<Loadable<Network>, 'need'>[]): boolean {
    const all = networks.reduce((sum, { need }) => sum + staying(need), 0);
    const working = Math.max(...networks.map(({ need: { working, kept = 0 } }) => working - kept));
    return this.allows(all + working);
  }

  async release(): Promise<void> {
    await this.makeRoom('', Number.POSITIVE_INFINITY);
  }

  private allows(networks: number): boolean {
    return networks + this.beside.bytes + this.processes <= this.limit;
  }

  private async makeRoom(key: string, needed: number): Promise<void> {
    const fits = () => {
      const others = [...this.loaded].reduce((sum, [name, { bytes }]) => sum + (name === key ? 0 : bytes), 0);
      return this.allows(others + needed);
    };
    if (!fits()) this.beside.trim();
    for (const [other, resident] of [...this.loaded]) {
      if (fits()) return;
      if (other === key) continue;
      this.loaded.delete(other);
      await resident.value.release();
    }
  }

  private tooLarge({ key, need: { bytes, working }, smaller = [] }: Loadable<Network>): RetouchError {
    const { processes, limit } = this;
    const beside = this.beside.bytes;
    const needed = bytes + working + beside + processes;
    const parts = [
      `${inUnits(bytes)} of weights`,
      ...(beside > 0 ? [`${inUnits(beside)} of LoRAs`] : []),
      ...(processes > 0 ? [`${inUnits(processes)} for the processes`] : []),
    ];
    const listed = `${parts.join(', ')} and ${inUnits(working)} to work in`;
    return new EngineError(
      'notEnoughMemory',
      `Not enough memory for the ${key}: ${inUnits(needed)} are needed (${listed}), and the engine may use ${inUnits(limit)}. ${advice(smaller)}`,
      { needed, limit },
    );
  }
}

function advice(smaller: readonly SmallerWeights[]): string {
  if (smaller.length === 0) return '--memory-limit allows more.';
  const each = smaller.map(({ precision, bytes }) => `${bytes} for --precision ${precision}`);
  return `Its weights take ${smaller[0]!.insteadOf} bytes each, ${each.join(' and ')}, and --memory-limit allows more.`;
}

/** Bytes that are in use while other networks run. */
function staying({ bytes, kept = 0 }: Need): number {
  return bytes + kept;
}

function inUnits(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
