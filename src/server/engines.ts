/** The engines of a server, from its configuration: children of this process, workers on other machines, or both. */

import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Config, engineOptions } from '../config.ts';
import type { EnginePool } from '../engine/engine.ts';
import { LocalEngines, type LocalEnginesOptions } from '../engine/process/local-engines.ts';
import { RetouchError } from '../error.ts';
import { Catalog } from '../fleet/catalog.ts';
import { FleetEngines } from '../fleet/fleet-engines.ts';
import { JoinedEngines } from '../fleet/joined-engines.ts';
import { openFleet } from '../fleet/open.ts';
import type { Log } from '../log.ts';
import { ModelStore } from '../store/models.ts';
import { readVersion } from '../version.ts';
import { fleetSettings } from './open-assets.ts';

/** Throws `redisUnreachable`, `redisRefused`, `dataDirectoryUnusable`. */
export async function openEngines(
  config: Config,
  log: Log,
  replaced: Partial<LocalEnginesOptions> = {},
): Promise<EnginePool> {
  const options = { ...engineOptions(config), ...replaced };
  const local =
    options.devices.length > 0 ? [new LocalEngines({ log: (line) => log.warn(line), ...options })] : [];
  if (config.redis === '') return local[0]!;
  const fleet = await openFleet(await fleetSettings(config, process.env));
  const remote = await FleetEngines.start({
    ...fleet,
    catalog: await scanCatalog(config),
    id: frontId(config.dataDir),
    name: config.workerName || hostname(),
    version: await readVersion(),
    log,
  });
  return local.length === 0 ? remote : new JoinedEngines([...local, remote]);
}

/** The models of this machine, with their fingerprints. */
export async function scanCatalog({ dataDir, modelsDir, alias }: Config): Promise<Catalog> {
  const folders = { models: modelsDir, cache: join(dataDir, 'cache'), aliases: alias };
  return Catalog.of(await ModelStore.scan(folders));
}

/** The name under which workers answer; it stays with the data directory, whose tasks it is about. */
function frontId(dataDir: string): string {
  const path = join(dataDir, 'fleet-id');
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    try {
      writeFileSync(path, randomUUID(), { flag: 'wx', mode: 0o600 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const text = `The data directory ${dataDir} cannot be written to: ${code ?? message}.`;
    throw new RetouchError('dataDirectoryUnusable', text, {}, { cause: error });
  }
}
