import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { engineErrors } from '../src/engine/errors.ts';
import { errorTables, literalCodes, tableNames } from './fixtures/error-codes.ts';
import { readSources } from './fixtures/source-files.ts';

const sources = [...readSources().values()];
const text = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8');
const documented = [...text.matchAll(/^\| `(\w+)` \|/gm)].map(([, code]) => code!);

/** Made of a parameter's name (`invalidSteps`), and documented as a rule. */
const ofParameter = /^(invalid|missing)[A-Z]/;

const inTables = Object.values(errorTables).flatMap((table) => Object.keys(table));
const literals = [...literalCodes(sources).keys()].filter(
  (code) => !ofParameter.test(code) || inTables.includes(code),
);
const raised = [...new Set([...inTables, ...literals])].sort();

it('knows every table of error codes in the source', () => {
  expect(tableNames(sources).sort()).toEqual(Object.keys(errorTables).sort());
});

it('the engine raises every code of its table', () => {
  const engine = literalCodes(sources.filter(({ path }) => path.startsWith('engine/')));
  expect([...engine.keys()].sort()).toEqual(Object.keys(engineErrors).sort());
});

it('documents every error code that can be raised', () => {
  expect(raised.filter((code) => !documented.includes(code))).toEqual([]);
});

it('documents no error code that cannot be raised, and none twice', () => {
  expect(documented.filter((code) => !raised.includes(code))).toEqual([]);
  expect(documented).toHaveLength(new Set(documented).size);
});
