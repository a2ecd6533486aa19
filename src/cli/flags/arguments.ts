/** Parses a command line against a command's table of flags. */

import { parseArgs } from 'node:util';
import { RetouchError } from '../../error.ts';
import { nearest } from '../../nearest.ts';
import type { CliErrorCode } from '../errors.ts';

export type Flag = {
  about: string;
  /** The value's placeholder in the help (`FILE`); a flag without one is a switch. */
  value?: string;
  short?: string;
  /** May be given several times. */
  multiple?: true;
};

export type Flags = Readonly<Record<string, Flag>>;

type ValueOf<F extends Flag> = F extends { value: string }
  ? F extends { multiple: true }
    ? string[]
    : string
  : boolean;

export type Values<F extends Flags> = { [Name in keyof F]?: ValueOf<F[Name]> };

export type Arguments<F extends Flags> = { values: Values<F>; positionals: string[] };

/** Throws `flagUnknown` and `flagInvalid`. Everything after `--` is positional. */
export function parseArguments<const F extends Flags>(words: readonly string[], flags: F): Arguments<F> {
  const table: Flags = flags;
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { value, short }]) => [
      name,
      { type: value === undefined ? 'boolean' : 'string', ...(short ? { short } : {}) } as const,
    ]),
  );
  // parseArgs' strict mode throws messages that name no alternatives.
  const { tokens, positionals } = parseArgs({
    args: [...words],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values: Record<string, string | boolean | string[]> = {};
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const flag = Object.hasOwn(table, token.name) ? table[token.name] : undefined;
    if (!flag) throw unknownFlag(token.rawName, table);
    const value = readValue(flag, token.rawName, token.value, token.inlineValue === true);
    const before = values[token.name];
    if (flag.multiple) values[token.name] = [...(Array.isArray(before) ? before : []), value as string];
    else if (before === undefined) values[token.name] = value;
    else throw cliError('flagInvalid', `${token.rawName} is given twice; expected once.`);
  }
  return { values: values as Values<F>, positionals };
}

function readValue(flag: Flag, name: string, value: string | undefined, inline: boolean): string | true {
  if (flag.value === undefined) {
    if (value === undefined) return true;
    throw cliError('flagInvalid', `${name} is a switch and takes no value; found '${value}'.`);
  }
  // A word that begins with a dash is the next flag, unless it is a number or was joined with `=`.
  const missing = value === undefined || (!inline && /^-+[a-z]/i.test(value));
  if (!missing) return value;
  const found = value === undefined ? 'nothing follows it' : `'${value}' follows it`;
  throw cliError('flagInvalid', `${name} needs a value, ${flag.value}; ${found}.`);
}

function unknownFlag(name: string, flags: Flags): RetouchError {
  const names = Object.keys(flags).map((flag) => `--${flag}`);
  const guess = nearest(name, names);
  const hint = guess ? `Did you mean ${guess}?` : `There are ${names.join(', ')}.`;
  return cliError('flagUnknown', `There is no flag ${name}. ${hint}`);
}

export function cliError(code: CliErrorCode, message: string, cause?: unknown): RetouchError {
  return new RetouchError(code, message, {}, cause === undefined ? {} : { cause });
}
