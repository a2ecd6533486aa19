/**
 * Other programs to compare with, where the operator has them: `--peer NAME=COMMAND`. The command computes one step of the
 * same work and prints its seconds as the last number; it is told the work by its environment.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { fastest } from './measure.ts';

export type Peer = { name: string; command: string };

/** Image side in pixels, tokens of text, and threads: RETOUCH_SIDE, RETOUCH_TEXT_TOKENS, RETOUCH_THREADS. */
export type PeerWork = { side: number; textTokens: number; threads: number };

export function readPeer(text: string): Peer {
  const [, name, command] = text.match(/^([^=]+)=(.+)$/s) ?? [];
  if (name && command) return { name, command };
  throw new Error(`--peer is '${text}', expected NAME=COMMAND`);
}

async function secondsOf({ name, command }: Peer, { side, textTokens, threads }: PeerWork): Promise<number> {
  const env = {
    ...process.env,
    ...{ RETOUCH_SIDE: side, RETOUCH_TEXT_TOKENS: textTokens, RETOUCH_THREADS: threads },
  } as unknown as NodeJS.ProcessEnv;
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
