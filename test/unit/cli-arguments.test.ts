import { expect, it } from 'vitest';
import { parseArguments } from '../../src/cli/flags/arguments.ts';
import type { RetouchError } from '../../src/error.ts';

const flags = {
  output: { about: 'Where to.', value: 'FILE', short: 'o' },
  seed: { about: 'A number.', value: 'N' },
  alias: { about: 'Pairs.', value: 'AIR=AIR', multiple: true },
  force: { about: 'A switch.', short: 'f' },
} as const;

function refuse(words: string[]): RetouchError {
  try {
    parseArguments(words, flags);
  } catch (error) {
    return error as RetouchError;
  }
  throw new Error(`${words.join(' ')} was expected to be refused`);
}

it('separates flags and positionals in any order', () => {
  const { values, positionals } = parseArguments(
    ['a.png', '--seed', '7', 'a sentence', '-f', '-o', 'b.png'],
    flags,
  );
  expect(values).toEqual({ seed: '7', force: true, output: 'b.png' });
  expect(positionals).toEqual(['a.png', 'a sentence']);
});

it('takes values joined with = and negative numbers', () => {
  expect(parseArguments(['--output=-x.png', '--seed', '-5'], flags).values).toEqual({
    output: '-x.png',
    seed: '-5',
  });
});

it('collects a flag that may be repeated, and refuses to guess between two values of another', () => {
  expect(parseArguments(['--alias', 'a=b', '--alias=c=d'], flags).values.alias).toEqual(['a=b', 'c=d']);
  expect(refuse(['--seed', '1', '--seed', '2'])).toMatchObject({ code: 'flagInvalid', message: /twice/ });
});

it('takes everything after -- as it is', () => {
  expect(parseArguments(['--', '--seed'], flags).positionals).toEqual(['--seed']);
});

it('names the nearest flag for one that does not exist', () => {
  expect(refuse(['--sed', '1']).message).toBe('There is no flag --sed. Did you mean --seed?');
  expect(refuse(['--sed', '1']).code).toBe('flagUnknown');
  expect(refuse(['-x']).message).toContain('There is no flag -x.');
  expect(refuse(['--constructor']).code).toBe('flagUnknown');
});

it('says which value is missing', () => {
  expect(refuse(['--output']).message).toBe('--output needs a value, FILE; nothing follows it.');
  expect(refuse(['-o', '--force']).message).toBe("-o needs a value, FILE; '--force' follows it.");
});

it('refuses a value for a switch', () => {
  expect(refuse(['--force=yes']).message).toBe("--force is a switch and takes no value; found 'yes'.");
});
