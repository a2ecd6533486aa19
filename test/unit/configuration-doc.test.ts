import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { settings, variableOf } from '../../src/config.ts';

const page = readFileSync(new URL('../../docs/reference/configuration.md', import.meta.url), 'utf8');
const rows = [...page.matchAll(/^\| `(RETOUCH_\w+)` \| `--([\w-]+)` \| ?(.*?) \| (.+) \|$/gm)].map(
  ([, variable, flag, initial, about]) => ({ variable, flag, initial, about }),
);

it('docs/reference/configuration.md has every setting with its default, and no other', () => {
  const expected = Object.entries(settings).map(([flag, { initial, about }]) => ({
    variable: variableOf(flag),
    flag,
    initial: show(flag, initial),
    about,
  }));
  expect(rows).toEqual(expected);
});

/** The default in the page's notation. */
function show(name: string, initial: unknown): string {
  const inBytes = /(body|bodies|picture|transfer)-limit$/.test(name);
  if (typeof initial === 'number') return inBytes ? `${initial / 2 ** 20}MB` : String(initial);
  if (initial === false) return '0';
  return typeof initial === 'string' ? initial : '';
}
