/** Questions to the user at the terminal. */

import { createInterface } from 'node:readline/promises';

export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** Only an explicit yes counts; aborting the question (Ctrl-C, Ctrl-D) is a no. */
export async function ask(question: string, signal?: AbortSignal): Promise<boolean> {
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  const left = new Promise<string>((resolve) => reader.once('close', () => resolve('')));
  reader.once('SIGINT', () => reader.close());
  try {
    const answer = await Promise.race([
      reader.question(`${question} [y/N] `, signal ? { signal } : {}),
      left,
    ]);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    reader.close();
  }
}
