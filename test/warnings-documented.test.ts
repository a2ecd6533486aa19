import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { engineWarnings } from '../src/engine/warnings.ts';
import { planWarningTable } from '../src/tasks/plan/warnings.ts';
import { readSources } from './fixtures/source-files.ts';

const tables = { 'engine/warnings.ts': engineWarnings, 'tasks/plan/warnings.ts': planWarningTable };
const meanings: Record<string, string> = Object.assign({}, ...Object.values(tables));

it('documents every warning with its meaning, and no other', () => {
  const text = readFileSync(new URL('../docs/reference/image-inference.md', import.meta.url), 'utf8');
  const [, chapter] = text.split('## Warnings');
  const rows = [...chapter!.split('\n## ')[0]!.matchAll(/^\| `(\w+)` \| (.+) \|$/gm)];
  expect(rows.map(([, code, meaning]) => [code, meaning])).toEqual(
    Object.entries(meanings).toSorted(([a], [b]) => a.localeCompare(b)),
  );
});

it('every warning of a table is given somewhere', () => {
  const sources = [...readSources().values()];
  for (const [file, table] of Object.entries(tables))
    for (const code of Object.keys(table)) {
      const folder = file.slice(0, file.indexOf('/'));
      const given = sources.filter(({ path, text }) => path.startsWith(folder) && text.includes(`'${code}'`));
      expect(
        given.map(({ path }) => path),
        code,
      ).not.toEqual([]);
    }
});
