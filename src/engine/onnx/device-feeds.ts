/** Feeds in a device's memory, for as long as the same ones are fed: without it every run would upload them. */
import { symbol } from './dim.ts';
import { Graph } from './graph.ts';
import { Session, type SessionOptions } from './session.ts';
import type { Feeds, Tensor } from './tensor.ts';

export class DeviceFeeds {
  private readonly options: SessionOptions;
  private session: Promise<Session> | undefined;
  private placed: { of: Feeds; feeds: Record<string, Tensor>; copies: Tensor[] } | undefined;

  constructor(options: SessionOptions) {
    this.options = options;
  }

  /**
   * `feeds` on the device of the sessions. Releases the copies of the previous feeds, unless these are the same object.
   */
  async place(feeds: Feeds): Promise<Feeds> {
    if (this.options.device === 'cpu') return feeds;
    if (this.placed?.of === feeds) return this.placed.feeds;
    this.drop();
    const placed = { of: feeds, feeds: {} as Record<string, Tensor>, copies: [] as Tensor[] };
    this.placed = placed;
    for (const [name, value] of Object.entries(feeds)) {
      const copy = await this.upload(value);
      if (copy !== value) placed.copies.push(copy);
      placed.feeds[name] = copy;
    }
    return placed.feeds;
  }

  async release(): Promise<void> {
    this.drop();
    await (await this.session)?.release();
  }

  private drop(): void {
    for (const value of this.placed?.copies ?? []) value.dispose?.();
    this.placed = undefined;
  }

  /** Integers (bounds of slices) are read by the host, and a tensor without elements has no place in a device. */
  private async upload(value: Tensor): Promise<Tensor> {
    if (value.dtype !== 'f32' || value.dims.includes(0)) return value;
    this.session ??= Session.compile(copyGraph(), { ...this.options, results: 'device' });
    const { copy } = await (await this.session).run({ value });
    return copy!;
  }
}

function copyGraph(): Graph {
  const graph = new Graph('copy');
  graph.output('copy', graph.input('value', 'f32', [symbol('rows'), symbol('columns')]));
  return graph;
}
