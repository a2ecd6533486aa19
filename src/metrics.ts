/** Figures in the text format of Prometheus. The door to prom-client. */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type { Counter, Histogram } from 'prom-client';

type Labels = Readonly<Record<string, string>>;

/** A figure's name, and the sentence that explains it. */
export type MetricName = { name: string; help: string };

export type CounterOptions = MetricName & {
  labels?: readonly string[];
  /** Label sets that are reported as 0 before their first event. */
  initial?: readonly Labels[];
};

type DerivedOptions = MetricName & { label?: string };

/** By value of the label. */
export type LabelledValues = ReadonlyMap<string, number>;

export class Metrics {
  readonly #registry = new Registry();
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;

  counter({ name, help, labels = [], initial = [] }: CounterOptions): Counter {
    const counter = new Counter({ name, help, labelNames: labels, registers: [this.#registry] });
    for (const each of initial) counter.inc(each, 0);
    return counter;
  }

  /** A bucket counts values up to and including its bound. */
  histogram({ name, help, buckets }: MetricName & { buckets: readonly number[] }): Histogram {
    return new Histogram({ name, help, buckets: [...buckets], registers: [this.#registry] });
  }

  /** A value read at scrape time, or one per value of the label. */
  gauge({ name, help, label }: DerivedOptions, read: () => number | LabelledValues): void {
    new Gauge({
      ...{ name, help, labelNames: label === undefined ? [] : [label], registers: [this.#registry] },
      collect() {
        this.reset();
        for (const [labels, value] of labelled(label, read())) this.set(labels, value);
      },
    });
  }

  /** A monotonic count kept elsewhere, or one per value of the label. */
  derivedCounter({ name, help, label }: DerivedOptions, read: () => number | LabelledValues): void {
    new Counter({
      ...{ name, help, labelNames: label === undefined ? [] : [label], registers: [this.#registry] },
      collect() {
        this.reset();
        for (const [labels, value] of labelled(label, read())) this.inc(labels, value);
      },
    });
  }

  /** Figures of this process: processor time, memory, descriptors, garbage collection and the lag of the event loop. */
  watchProcess(): void {
    collectDefaultMetrics({ register: this.#registry });
  }

  format(): Promise<string> {
    return this.#registry.metrics();
  }
}

function labelled(label: string | undefined, values: number | LabelledValues): [Labels, number][] {
  if (typeof values === 'number') return [[{}, values]];
  return [...values].map(([value, number]) => [{ [label!]: value }, number]);
}
