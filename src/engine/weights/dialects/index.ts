/**
 * A dialect maps the tensor names of a network's reference implementation to the tensors of a checkpoint that names or
 * splits them differently. Adding one is a file and a line in the network's table.
 */
export type Piece = {
  /** The stored tensor's name. */
  name: string;
  /** Only this half of its rows (first axis). */
  half?: 0 | 1;
};

export type Dialect = {
  name: string;
  /** A tensor that identifies the dialect, for messages. */
  probe: string;
  /** The prefix of all its tensors' names, for files that may hold other networks too. */
  prefix?: string;
  /** Whether a checkpoint with these tensor names speaks this dialect. */
  matches(names: ReadonlySet<string>): boolean;
  /** The pieces that, joined along the first axis, are the tensor the network calls `name`. */
  locate(name: string, names: ReadonlySet<string>): Piece[];
};

/** The reference names themselves, under a prefix that all-in-one files add. */
export function prefixed(name: string, prefix: string, probe: string): Dialect {
  return {
    name,
    probe: prefix + probe,
    prefix,
    matches: (names) => names.has(prefix + probe),
    locate: (tensor) => [{ name: prefix + tensor }],
  };
}
