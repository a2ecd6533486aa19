/** `--cache tea|fb|db[:VALUE]` → acceleratorOptions, which the API's rules then validate. */

import { cliError } from './arguments.ts';

/** Name → the API's switch and the parameter that takes the value. */
const switches = {
  tea: ['teaCache', 'teaCacheDistance'],
  fb: ['fbCache', 'fbCacheThreshold'],
  db: ['dbCache', 'dbCacheThreshold'],
} as const;

/** `--reference-cache N` → acceleratorOptions; N is checked by the API's rules. */
export function readReferenceCache(text: string): Record<string, unknown> {
  if (/^\d+$/.test(text)) return { referenceCache: true, referenceCacheInterval: Number(text) };
  throw cliError('flagInvalid', `--reference-cache is '${text}'; expected a number of steps from 1 to 50.`);
}

export function readCache(text: string): Record<string, unknown> {
  const [, name = '', value] = text.match(/^(tea|fb|db)(?::(\d+(?:\.\d+)?))?$/) ?? [];
  if (!Object.hasOwn(switches, name))
    throw cliError(
      'flagInvalid',
      `--cache is '${text}'; expected tea, fb or db, with a value from 0 to 1 after a colon or none, such as tea:0.5.`,
    );
  const [on, amount] = switches[name as keyof typeof switches];
  return { [on]: true, ...(value === undefined ? {} : { [amount]: Number(value) }) };
}
