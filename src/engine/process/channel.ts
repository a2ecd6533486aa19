/** A queue of items from callbacks to one `for await`, in order; it ends once, with or without an error. */
export class Channel<Item> {
  #items: Item[] = [];
  #ended: { error?: unknown } | undefined;
  #wake: () => void = () => {};

  push(item: Item): void {
    if (this.#ended) return;
    this.#items.push(item);
    this.#wake();
  }

  /** Only the first end counts; items pushed before it are still delivered. */
  end(outcome: { error?: unknown } = {}): void {
    this.#ended ??= outcome;
    this.#wake();
  }

  /** Ends at once with the consumer's own error: items pushed before it are dropped. */
  abandon(error: unknown): void {
    if (!this.#ended) this.#items = [];
    this.end({ error });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item> {
    for (;;) {
      while (this.#items.length > 0) yield this.#items.shift()!;
      if (this.#ended) {
        if ('error' in this.#ended) throw this.#ended.error;
        return;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
