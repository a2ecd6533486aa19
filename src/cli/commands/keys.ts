/** `retouch keys`: makes, lists and revokes the API keys of the server. The server may be running. */

import { join } from 'node:path';
import { Database } from '../../store/db.ts';
import { KeyStore, type StoredKey } from '../../store/keys.ts';
import type { Command } from '../command.ts';
import { cliError, parseArguments } from '../flags/arguments.ts';
import { configFrom, settingFlags } from '../flags/settings.ts';

const flags = settingFlags(['data-dir'], true);

/** Characters that shells, logs and tables need not escape. */
const namePattern = /^[\w.@-]{1,60}$/;

export const keys: Command = {
  summary: 'Make, list and revoke API keys.',
  usage: ['keys add NAME', 'keys list', 'keys revoke NAME'],
  details: [
    'A key is shown once, when it is made: the database has its digest only. A server that is running takes it at ' +
      'once, and refuses it at once when it is revoked. Once there is a key, every request has to give one.',
  ],
  flags,
  async run(words) {
    const { values, positionals } = parseArguments(words, flags);
    const [action, name, ...rest] = positionals;
    const wanted = { add: 1, list: 0, revoke: 1 }[action ?? ''];
    if (wanted === undefined) {
      const found = action === undefined ? 'nothing' : `'${action}'`;
      throw cliError(
        'argumentMissing',
        `keys needs to know what to do, add, list or revoke; found ${found}.`,
      );
    }
    if (wanted === 1 && name === undefined) {
      throw cliError('argumentMissing', `keys ${action} needs the name of a key.`);
    }
    const [extra] = wanted === 0 ? positionals.slice(1) : rest;
    if (extra !== undefined)
      throw cliError('argumentUnexpected', `keys ${action} was also given '${extra}'.`);
    const db = Database.open(join(configFrom(values).dataDir, 'retouch.db'));
    try {
      act(new KeyStore(db), action as 'add' | 'list' | 'revoke', name ?? '');
    } finally {
      db.close();
    }
    return 0;
  },
};

function act(store: KeyStore, action: 'add' | 'list' | 'revoke', name: string): void {
  if (action === 'list') {
    console.log(formatKeys(store.list()));
    return;
  }
  if (action === 'revoke') {
    console.error(`The key '${store.revoke(name).name}' is no longer taken.`);
    return;
  }
  if (!namePattern.test(name)) {
    const expected = 'expected up to 60 letters, digits, dots, dashes, underscores and @';
    throw cliError('flagInvalid', `The name of a key cannot be '${name.slice(0, 80)}'; ${expected}.`);
  }
  const { key } = store.add(name);
  console.error('Keep this key: it is not shown again. Clients send it as their API key.');
  // The key stands alone on its line, so that programs can read it.
  console.log(key);
}

function formatKeys(stored: readonly StoredKey[]): string {
  if (stored.length === 0) return "There is no key; 'retouch keys add NAME' makes one.";
  const day = (time: number | null) => (time === null ? 'never' : new Date(time).toISOString().slice(0, 16));
  const rows = stored.map(({ name, created, used }) => [name, day(created), day(used)]);
  const table = [['name', 'made', 'last used'], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => row[column]!.length)));
  return table
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}
