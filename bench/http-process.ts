/** Runs a benchmark's server in a separate process. */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export type ServerProcess = {
  url: string;
  /** The process's reply to a message. */
  ask(what: 'idle' | 'memory'): Promise<unknown>;
  end(): Promise<void>;
};

export async function startProcess(script: 'http-floor.ts' | 'http-server.ts'): Promise<ServerProcess> {
  const child = fork(fileURLToPath(new URL(script, import.meta.url)), {
    execArgv: [...process.execArgv, '--expose-gc'],
  });
  const [{ url }] = await once(child, 'message');
  const ask = async (what: string) => {
    child.send(what);
    const [answer] = await once(child, 'message');
    return answer;
  };
  const end = async () => {
    child.disconnect();
    await once(child, 'exit');
  };
  return { url, ask, end };
}
