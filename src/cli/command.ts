/** One command, as the dispatch table holds it. */

import type { Flags } from './flags/arguments.ts';

export type Command = {
  summary: string;
  /** Usage lines, without the leading `retouch `. */
  usage: readonly string[];
  /** Paragraphs for the command's own help. */
  details?: readonly string[];
  flags: Flags;
  /** Resolves with the exit code, or with undefined when the process keeps running. */
  run(words: readonly string[]): Promise<number | undefined>;
};
