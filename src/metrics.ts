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

  /** A value read at scrape time. */
  gauge({ name, help }: MetricName, read: () => number): void {
    new Gauge({
      ...{ name, help, registers: [this.#registry] },
      collect() {
        this.set(read());
      },
    });
  }

  /** A monotonic count kept elsewhere. */
  derivedCounter({ name, help }: MetricName, read: () => number): void {
    new Counter({
      ...{ name, help, registers: [this.#registry] },
      collect() {
        this.reset();
        this.inc(read());
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
