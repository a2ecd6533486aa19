/** `retouch worker`: the engines of this machine make the images of servers elsewhere. */

import { hostname } from 'node:os';
import { type Config, engineOptions } from '../../config.ts';
import { LocalEngines, type LocalEnginesOptions } from '../../engine/process/local-engines.ts';
import { Catalog } from '../../fleet/catalog.ts';
import { openFleet } from '../../fleet/open.ts';
import { FleetWorker } from '../../fleet/worker.ts';
import { createLog } from '../../log.ts';
import { scanModels } from '../../server/engines.ts';
import { openBucket, fleetSettings as transferSettings } from '../../server/open-assets.ts';
import { readVersion } from '../../version.ts';
import type { Command } from '../command.ts';
import { cliError, parseArguments } from '../flags/arguments.ts';
import {
  bucketSettings,
  configFrom,
  engineSettings,
  fleetSettings,
  settingFlags,
} from '../flags/settings.ts';
import { closeOnSignal } from '../terminal/close-on-signal.ts';

const flags = settingFlags(
  [
    ...engineSettings,
    'engines',
    'devices',
    ...fleetSettings,
    ...bucketSettings,
    'worker-name',
    'shutdown-timeout',
    'log-level',
  ],
  true,
);

export const worker: Command = {
  summary: 'Make images for servers elsewhere, over Redis.',
  usage: ['worker --redis URL [flags]'],
  details: [
    'Offers the engines and the installed models of this machine to the servers that are started with the same --redis. ' +
      'SIGTERM drains it: it takes no further image, ends those it makes within --shutdown-timeout seconds, and hands ' +
      'back the others.',
  ],
  flags,
  async run(words) {
    const { values, positionals } = parseArguments(words, flags);
    if (positionals.length > 0)
      throw cliError('argumentUnexpected', `worker takes flags only; found '${positionals[0]}'.`);
    await work(configFrom(values));
    return undefined;
  },
};

/** Tests pass another `engine` and a shorter `lease`. Throws `redisUnreachable`, `redisRefused`, `fleetVersionMismatch`. */
export async function work(
  config: Config,
  engine: Partial<LocalEnginesOptions> = {},
  lease?: number,
): Promise<void> {
  if (config.redis === '') throw cliError('argumentMissing', 'worker needs --redis, the address of Redis.');
  const log = createLog(config.logLevel);
  // Without engines a worker is none: 0 is one.
  const options = { ...engineOptions({ ...config, redis: '' }), ...engine };
  const name = config.workerName || hostname();
  const catalog = await Catalog.of(await scanModels(config));
  const { where, ...fleet } = await openFleet(transferSettings(config, await openBucket(config)));
  const engines = new LocalEngines({ log: (line) => log.warn(line), ...options });
  const version = await readVersion();
  const member = new FleetWorker({ ...fleet, engines, catalog, name, version, log, lease });
  const close = async (grace: number) => {
    await member.drain(grace);
    await engines.close();
    fleet.connection.redis.disconnect();
  };
  try {
    await member.start();
  } catch (error) {
    await close(0);
    throw error;
  }
  closeOnSignal(() => close(config.shutdownTimeout * 1000), log);
  const list = engines.engines.map((each) => each.name).join(', ');
  process.stdout.write(`Retouch worker ${name} takes images from ${where} for ${list}\n`);
}
