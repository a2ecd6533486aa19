/**
 * Entry of a process for `bench fleet`: a server, or with `worker` as its first argument a worker, over its usual engines
 * or, with `scripted`, over those of fleet-child.ts.
 */

import { work } from '../src/cli/commands/worker.ts';
import { loadConfig } from '../src/config.ts';
import { startServer } from '../src/server/start.ts';

export type Started = { url?: string };
/** Milliseconds since the process began: of processor time, and those in which its main thread did not wait for events. */
export type Used = { computed: number; busy: number };

const [role, engines] = process.argv.slice(2);
const engine =
  engines === 'scripted' ? { childModule: new URL('./fleet-child.ts', import.meta.url), log: () => {} } : {};
const config = loadConfig({ env: process.env });
process.on('disconnect', () => process.exit());
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  const used: Used = { computed: (user + system) / 1000, busy: performance.eventLoopUtilization().active };
  process.send!(used);
});
if (role === 'worker') {
  await work(config, engine);
  process.send!({} satisfies Started);
} else {
  const { url } = await startServer(config, { engine });
  process.send!({ url } satisfies Started);
}
