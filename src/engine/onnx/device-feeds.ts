/** Updates of layers in a device's memory, for as long as the same ones are fed: without it every run would upload them. */
import { symbol } from './dim.ts';
import { Graph } from './graph.ts';
import { type LayerFeed, type LayerFeeds, Session, type SessionOptions, type Tensor } from './session.ts';

export class DeviceFeeds {
  private readonly options: SessionOptions;
  private session: Promise<Session> | undefined;
  private placed: { of: LayerFeeds; feeds: Map<string, LayerFeed>; tensors: Tensor[] } | undefined;

  constructor(options: SessionOptions) {
    this.options = options;
  }

  /** `updates` where the sessions run. Those asked for before are released, if they are not the same object. */
  async place(updates: LayerFeeds | undefined): Promise<LayerFeeds | undefined> {
    if (this.options.device === 'cpu') return updates;
    if (this.placed?.of === updates) return this.placed?.feeds;
    this.drop();
    if (!updates?.size) return updates;
    const placed = { of: updates, feeds: new Map<string, LayerFeed>(), tensors: [] as Tensor[] };
    this.placed = placed;
    for (const [name, feed] of updates) placed.feeds.set(name, await this.upload(feed, placed.tensors));
    return placed.feeds;
  }

  async release(): Promise<void> {
    this.drop();
    await (await this.session)?.release();
  }

  private drop(): void {
    for (const value of this.placed?.tensors ?? []) value.dispose();
    this.placed = undefined;
  }

  /** Where columns begin and end is read by the host, and a tensor without elements has no place. */
  private async upload(feed: LayerFeed, tensors: Tensor[]): Promise<LayerFeed> {
    this.session ??= Session.compile(copyGraph(), { ...this.options, results: 'device' });
    const session = await this.session;
    const entries: [string, Tensor][] = [];
    for (const [input, value] of Object.entries(feed)) {
      if (value.type !== 'float32' || value.size === 0) entries.push([input, value]);
      else {
        const { copy } = await session.run({ value });
        tensors.push(copy!);
        entries.push([input, copy!]);
      }
    }
    return Object.fromEntries(entries);
  }
}

function copyGraph(): Graph {
  const graph = new Graph('copy');
  graph.output('copy', graph.input('value', 'f32', [symbol('rows'), symbol('columns')]));
  return graph;
}
