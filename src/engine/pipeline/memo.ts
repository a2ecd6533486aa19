import type { Events } from './events.ts';

/** The most recently requested values by key. */
export class Memo<T> {
  private readonly kept = new Map<string, T>();
  private readonly size: number;

  constructor(size: number) {
    this.size = size;
  }

  async *get(key: string, make: () => Events<T>): Events<T> {
    const known = this.kept.get(key);
    this.kept.delete(key);
    for (const oldest of [...this.kept.keys()].slice(0, Math.max(this.kept.size - this.size + 1, 0)))
      this.kept.delete(oldest);
    const value = known ?? (yield* make());
    this.kept.set(key, value);
    return value;
  }
}
