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
import type { Bucket } from '../store/bucket.ts';
import { ModelStore } from '../store/models.ts';
import { readVersion } from '../version.ts';
import { fleetSettings } from './open-assets.ts';

export type OpenEngines = {
  config: Config;
  log: Log;
  models: ModelStore;
  bucket: Bucket | undefined;
  /** Takes the place of settings of the engines on this machine. */
  replaced?: Partial<LocalEnginesOptions> | undefined;
};

/** Throws `redisUnreachable`, `redisRefused`, `dataDirectoryUnusable`. */
export async function openEngines({
  config,
  log,
  models,
  bucket,
  replaced,
}: OpenEngines): Promise<EnginePool> {
  const options = { ...engineOptions(config), ...replaced };
  const local =
    options.devices.length > 0 ? [new LocalEngines({ log: (line) => log.warn(line), ...options })] : [];
  if (config.redis === '') return local[0]!;
  const fleet = await openFleet(fleetSettings(config, bucket));
  const remote = await FleetEngines.start({
    ...fleet,
    catalog: await Catalog.of(models),
    id: frontId(config.dataDir),
    name: config.workerName || hostname(),
    version: await readVersion(),
    log,
  });
  return local.length === 0 ? remote : new JoinedEngines([...local, remote]);
}

/** The models of this machine; `embedded` is the folder of the embedded one, by default the package's. */
export function scanModels({ dataDir, modelsDir, alias }: Config, embedded?: string): Promise<ModelStore> {
  return ModelStore.scan({
    ...{ models: modelsDir, cache: join(dataDir, 'cache'), aliases: alias },
    ...(embedded === undefined ? {} : { embedded }),
  });
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
