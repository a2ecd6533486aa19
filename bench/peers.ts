/**
 * Other programs to compare with, where the operator has them: `--peer NAME=COMMAND`. The command computes one step of the
 * same work and prints its seconds as the last number; it is told the work by its environment.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { fastest, type Row, round } from './measure.ts';

export type Peer = { name: string; command: string };

/**
 * A step of an edit, by its image side in pixels (RETOUCH_SIDE), or one block (RETOUCH_BLOCK, RETOUCH_TOKENS), with its
 * tokens of text and its threads (RETOUCH_TEXT_TOKENS, RETOUCH_THREADS).
 */
export type PeerWork = { textTokens: number; threads: number } & (
  | { side: number }
  | { block: 'double' | 'single'; tokens: number }
);

export function readPeer(text: string): Peer {
  const [, name, command] = text.match(/^([^=]+)=(.+)$/s) ?? [];
  if (name && command) return { name, command };
  throw new Error(`--peer is '${text}', expected NAME=COMMAND`);
}

async function secondsOf({ name, command }: Peer, work: PeerWork): Promise<number> {
  const { textTokens, threads, ...kind } = work;
  const told = { ...kind, text_tokens: textTokens, threads };
  const env = { ...process.env };
  for (const [key, value] of Object.entries(told)) env[`RETOUCH_${key.toUpperCase()}`] = String(value);
  const { stdout } = await promisify(execFile)('sh', ['-c', command], { env, maxBuffer: 2 ** 26 });
  const found = stdout.match(/\d+(?:\.\d+)?(?!.*\d)/s)?.[0];
  if (found === undefined) throw new Error(`The peer ${name} printed no number: ${stdout.slice(-200)}`);
  return Number(found);
}

/**
 * Our least milliseconds and each peer's, taking turns, so that other load on the machine affects all of them. After one
 * run of ours to warm up.
 */
export async function inTurns(
  ours: () => Promise<unknown>,
  peers: readonly Peer[],
  { runs, work }: { runs: number; work: PeerWork },
): Promise<{ milliseconds: number; peers: Map<string, number> }> {
  if (peers.length === 0) return { milliseconds: await fastest(runs, ours), peers: new Map() };
  const best = new Map<string, number>();
  let milliseconds = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) {
    milliseconds = Math.min(milliseconds, await fastest(1, ours));
    for (const peer of peers) {
      const seconds = await secondsOf(peer, work);
      best.set(peer.name, Math.min(best.get(peer.name) ?? Number.POSITIVE_INFINITY, seconds));
    }
  }
  return { milliseconds, peers: best };
}

/** A peer's seconds, and how many times ours they are. */
export function peerColumns(peers: ReadonlyMap<string, number>, ours: number): Row {
  const columns = [...peers].flatMap(([name, seconds]) => [
    [`${name} / ours`, round(seconds / ours, 2)],
    [`${name} s`, round(seconds, 2)],
  ]);
  return Object.fromEntries(columns);
}
