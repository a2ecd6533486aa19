/** JSON of the database, which a damaged disk may have changed. */

import { parseJson } from '../../api/json.ts';
import { RetouchError } from '../../error.ts';
import type { StoreErrorCode } from '../../store/errors.ts';

/** `what` names the value in the error. Throws `databaseCorrupt`. */
export function readStored<T>(text: string, what: string, read: (text: string) => unknown = parseJson): T {
  try {
    return read(text) as T;
  } catch (cause) {
    throw damaged(what, cause);
  }
}

/** The seed of a result. Throws `databaseCorrupt`. */
export function readSeed(text: string): bigint {
  return readStored(text, 'the seed of an image', BigInt);
}

function damaged(what: string, cause: unknown): RetouchError {
  const message = `The database is damaged: ${what} cannot be read. Its operator has to restore it from a backup.`;
  return new RetouchError('databaseCorrupt' satisfies StoreErrorCode, message, {}, { cause });
}
