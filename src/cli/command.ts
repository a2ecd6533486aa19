/** What a file of this folder gives to the dispatch table. */

import type { Flags } from './flags/arguments.ts';

export type Command = {
  summary: string;
  /** Lines as one types them, after `retouch `. */
  usage: readonly string[];
  /** Paragraphs for the command's own help. */
  details?: readonly string[];
  flags: Flags;
  /** Resolves with the exit code, or with undefined when the process goes on by itself. */
  run(words: readonly string[]): Promise<number | undefined>;
};
