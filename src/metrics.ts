/** Figures in the text format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/). */

type Labels = Readonly<Record<string, string>>;

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** Lines of samples, without the name's prefix. */
  samples(): Iterable<readonly [suffix: string, labels: Labels, value: number]>;
}

/** A monotonic counter. */
export class Counter implements Family {
  readonly type = 'counter';
  readonly name: string;
  readonly help: string;
  readonly #values = new Map<string, { labels: Labels; value: number }>();

  /** `initial`: label sets that are reported as 0 before their first event. */
  constructor(name: string, help: string, initial: readonly Labels[] = [{}]) {
    this.name = name;
    this.help = help;
    for (const labels of initial) this.add(0, labels);
  }

  add(amount = 1, labels: Labels = {}): void {
    const key = labelText(labels);
    const known = this.#values.get(key);
    if (known) known.value += amount;
    else this.#values.set(key, { labels, value: amount });
  }

  *samples(): Iterable<readonly [string, Labels, number]> {
    for (const { labels, value } of this.#values.values()) yield ['', labels, value];
  }
}

/** A value read at scrape time. */
export class Gauge implements Family {
  readonly type: 'gauge' | 'counter';
  readonly name: string;
  readonly help: string;
  readonly #read: () => number;

  /** `type`: `counter` for a monotonic count kept elsewhere. */
  constructor(name: string, help: string, read: () => number, type: 'gauge' | 'counter' = 'gauge') {
    this.name = name;
    this.help = help;
    this.#read = read;
    this.type = type;
  }

  *samples(): Iterable<readonly [string, Labels, number]> {
    yield ['', {}, this.#read()];
  }
}

export class Histogram implements Family {
  readonly type = 'histogram';
  readonly name: string;
  readonly help: string;
  readonly #bounds: readonly number[];
  /** One more element than `bounds`: the last counts values above every bound. */
  readonly #counts: number[];
  #sum = 0;

  /** `bounds` ascend; a bucket counts values up to and including its bound. */
  constructor(name: string, help: string, bounds: readonly number[]) {
    this.name = name;
    this.help = help;
    this.#bounds = bounds;
    this.#counts = Array(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    const bucket = this.#bounds.findIndex((bound) => value <= bound);
    this.#counts[bucket < 0 ? this.#bounds.length : bucket]!++;
    this.#sum += value;
  }

  *samples(): Iterable<readonly [string, Labels, number]> {
    let total = 0;
    for (const [i, count] of this.#counts.entries()) {
      total += count;
      yield ['_bucket', { le: i < this.#bounds.length ? String(this.#bounds[i]) : '+Inf' }, total];
    }
    yield ['_sum', {}, this.#sum];
    yield ['_count', {}, total];
  }
}

export class Metrics {
  readonly #families: Family[] = [];

  /** Registers a metric and returns it. */
  add<F extends Family>(family: F): F {
    if (this.#families.some(({ name }) => name === family.name)) {
      throw new TypeError(`There are two metrics of the name ${family.name}.`);
    }
    this.#families.push(family);
    return family;
  }

  format(): string {
    const lines = this.#families.flatMap((family) => [
      `# HELP ${family.name} ${family.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`,
      `# TYPE ${family.name} ${family.type}`,
      ...[...family.samples()].map(
        ([suffix, labels, value]) => `${family.name}${suffix}${labelText(labels)} ${value}`,
      ),
    ]);
    return `${lines.join('\n')}\n`;
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
