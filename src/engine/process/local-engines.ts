/** The engines of this machine: one child process for each device, each running one image at a time. */

import type { EnginePool, PooledEngine } from '../engine.ts';
import type { EngineEvent, Plan } from '../plan.ts';
import { deviceEnvironment } from './device-environment.ts';
import { engineMemory } from './device-memory.ts';
import { aborted, closed, EngineHost, type EngineHostOptions } from './host.ts';
import { defaultThreads } from './limits.ts';

/** `index` counts the devices of a kind; on a CPU, where all engines share the cores, it only names the engine. */
export type EngineDevice = { device: PooledEngine['device']; index: number };

export type LocalEnginesOptions = Omit<EngineHostOptions, 'env'> & { devices: readonly EngineDevice[] };

type Member = {
  name: string;
  device: EngineDevice['device'];
  host: EngineHost;
  /** True until its child has ended the run: an aborted run still computes its step. */
  busy: boolean;
  /** The models and LoRAs that the current child has loaded. */
  loaded: { pid: number | undefined; model?: string; adapters: Set<string> };
  /** Number of its last run. */
  used: number;
};

type Waiting = { plan: Plan; take(member: Member): void };

export class LocalEngines implements EnginePool {
  readonly #members: readonly Member[];
  readonly #closing = new AbortController();
  #waiting: Waiting[] = [];
  #runs = 0;
  #retry: NodeJS.Timeout | undefined;

  /** Threads and memory are those of all engines together, in equal parts. */
  constructor({ devices, threads, memoryLimit, ...options }: LocalEnginesOptions) {
    const count = devices.length;
    const share = { threads: Math.max(1, Math.floor((threads ?? defaultThreads()) / count)) };
    const memoryOf = (device: EngineDevice) =>
      memoryLimit === undefined ? engineMemory(device, count) : Math.floor(memoryLimit / count);
    this.#members = devices.map(({ device, index }) => ({
      name: `${device}:${index}`,
      device,
      host: new EngineHost({
        ...{ ...options, ...share, memoryLimit: memoryOf({ device, index }) },
        env: deviceEnvironment(device, index, process.env),
      }),
      busy: false,
      loaded: { pid: undefined, adapters: new Set() },
      used: 0,
    }));
  }

  get capacity(): number {
    return this.#members.length;
  }

  get engines(): PooledEngine[] {
    return this.#members.map(({ name, device, host, loaded }) => {
      const { status } = host;
      const holds = loaded.model !== undefined && loaded.pid === status.pid;
      return { ...status, name, device, ...(holds ? { model: loaded.model } : {}) };
    });
  }

  get problem(): string | undefined {
    const { engines } = this;
    if (engines.some(({ state, stalled }) => state !== 'backing-off' && stalled === undefined))
      return undefined;
    const stalled = engines.find((engine) => engine.stalled !== undefined)?.stalled;
    return stalled ?? 'The engine crashed and is about to be started again.';
  }

  /** The engine itself reports what it cannot compute, when it reads the model. */
  refusal(): undefined {
    return undefined;
  }

  /** All engines find the same files. */
  needsOf(): string {
    return '';
  }

  capacityFor(): number {
    return this.capacity;
  }

  /** The capacity of local engines never changes. */
  onGrowth(): void {}

  async *run(plan: Plan, signal?: AbortSignal): AsyncGenerator<EngineEvent> {
    const member = await this.#take(plan, signal);
    const { host, device } = member;
    try {
      const events = host.run({ ...plan, numerics: { ...plan.numerics, device } }, signal);
      for await (const event of events) {
        if (event.type === 'load-end') noteLoaded(member, plan);
        yield event;
      }
    } finally {
      void host.left.then(() => {
        member.busy = false;
        this.#assign();
      });
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#retry);
    await Promise.all(this.#members.map(({ host }) => host.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** A free engine, already marked as busy; callers are served in order. */
  #take(plan: Plan, signal: AbortSignal | undefined): Promise<Member> {
    const stop = AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]);
    const { promise, resolve, reject } = Promise.withResolvers<Member>();
    const waiting: Waiting = { plan, take: resolve };
    const leave = () => {
      this.#waiting = this.#waiting.filter((each) => each !== waiting);
      reject(this.#closing.signal.aborted ? closed() : aborted());
    };
    if (stop.aborted) leave();
    else {
      stop.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiting);
      this.#assign();
    }
    return promise.finally(() => stop.removeEventListener('abort', leave));
  }

  #assign(): void {
    if (this.#closing.signal.aborted) return;
    while (this.#waiting.length > 0) {
      const { plan, take } = this.#waiting[0]!;
      const member = this.#best(plan);
      if (!member) {
        this.#assignLater();
        return;
      }
      this.#waiting.shift();
      member.busy = true;
      member.used = ++this.#runs;
      take(member);
    }
  }

  /**
   * The free engine that has most of the plan loaded. An empty engine is preferred to one whose model would be evicted,
   * and among the latter the least recently used one.
   */
  #best(plan: Plan): Member | undefined {
    const free = this.#members.filter(({ busy, host }) => !busy && host.startsIn === 0);
    const rank = (member: Member) => [affinity(member, plan), -member.used] as const;
    return free.toSorted((a, b) => {
      const [[x, p], [y, q]] = [rank(a), rank(b)];
      return y - x || q - p;
    })[0];
  }

  /** An engine that crashed is free again when its back-off ends. */
  #assignLater(): void {
    clearTimeout(this.#retry);
    const pauses = this.#members.filter(({ busy }) => !busy).map(({ host }) => host.startsIn);
    if (pauses.length === 0) return;
    this.#retry = setTimeout(() => this.#assign(), Math.ceil(Math.min(...pauses)));
  }
}

/** 2 to 3 with the plan's model loaded, by the share of its LoRAs; 1 with nothing loaded; 0 with another model. */
function affinity({ loaded, host }: Member, { model, loras }: Plan): number {
  if (loaded.model === undefined || loaded.pid !== host.status.pid) return 1;
  if (loaded.model !== model.air) return 0;
  const held = loras.filter(({ air }) => loaded.adapters.has(air)).length;
  return 2 + (loras.length === 0 ? 0 : held / loras.length);
}

function noteLoaded({ loaded, host }: Member, { model, loras }: Plan): void {
  const { pid } = host.status;
  if (loaded.pid !== pid || loaded.model !== model.air) loaded.adapters.clear();
  loaded.pid = pid;
  loaded.model = model.air;
  for (const { air } of loras) loaded.adapters.add(air);
}
