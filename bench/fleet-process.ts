/** Entry of a process for `bench fleet`: a server, or with `worker` as its argument a worker, over the engine of 50 ms. */

import { work } from '../src/cli/commands/worker.ts';
import { loadConfig } from '../src/config.ts';
import { startServer } from '../src/server/start.ts';

const engine = { childModule: new URL('./fleet-child.ts', import.meta.url), log: () => {} };
const config = loadConfig({ env: process.env });
process.on('disconnect', () => process.exit());
process.on('message', () => process.send!(process.cpuUsage()));
if (process.argv[2] === 'worker') {
  await work(config, engine);
  process.send!({});
} else {
  const { url } = await startServer(config, { engine });
  process.send!({ url });
}
