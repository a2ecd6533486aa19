/** `retouch models remove`: shows the files to be removed and the models that depend on them. */

import { lstat, realpath, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { RetouchError } from '../../error.ts';
import type { Adapter, Model, ModelStore } from '../../store/models.ts';
import { pathsOf } from '../../store/models.ts';
import { cliError } from '../flags/arguments.ts';
import { folderBytes } from '../terminal/models-table.ts';

export type Removal = { air: string; name: string; folder: string; bytes: number };

/** Throws `modelUnknown` and `modelInUse`. Only folders of the models directory are ever removed. */
export async function removalOf(store: ModelStore, air: string, modelsDir: string): Promise<Removal> {
  const all: (Model | Adapter)[] = [...store.models, ...store.adapters];
  const found = all.find((model) => model.air === air);
  if (!found) {
    const installed = all.map((model) => model.air).join(', ');
    throw cliError('modelUnknown', `'${air}' is not installed; there are ${installed}.`);
  }
  const { folder, name } = found;
  if (!isInside(folder, modelsDir))
    throw new RetouchError(
      'modelInUse',
      `${air} comes with Retouch (${folder}) and is not removed; the models directory is ${modelsDir}.`,
    );
  const users = all.filter(
    (other) => other !== found && pathsOf(other).some((path) => isInside(path, folder)),
  );
  if (users.length > 0) {
    const list = users.map((user) => `${user.air} (${user.name})`).join(', ');
    throw new RetouchError('modelInUse', `${air} gives files to ${list}; remove that first.`);
  }
  const link = (await lstat(folder)).isSymbolicLink();
  return { air, name, folder, bytes: link ? 0 : await folderBytes(await realpath(folder), true) };
}

/** Removes a link, not its target. */
export async function remove({ folder }: Removal): Promise<void> {
  await rm(folder, { recursive: true });
}

function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== '' && !way.startsWith('..') && join(folder, way) === path;
}
