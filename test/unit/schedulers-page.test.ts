import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { schedulersPage } from '../../scripts/schedulers-page.ts';
import { schedulerNames } from '../../src/api/schedulers.ts';
import { samplers } from '../../src/engine/samplers/index.ts';
import { sigmas } from '../../src/engine/sigmas/index.ts';

const page = readFileSync(new URL('../../docs/reference/schedulers.md', import.meta.url), 'utf8');

it('the page of schedulers is the one that its script writes; if not, run npm run docs', () => {
  expect(page).toBe(schedulersPage());
});

it('has a row for every scheduler, sampler and spacing', () => {
  const rows = page.split('\n').filter((line) => line.startsWith('| '));
  const first = rows.map((row) => row.split(' | ')[0]!.replace(/^\| /, ''));
  for (const name of schedulerNames) expect(first).toContain(name);
  for (const name of [...Object.keys(samplers), ...Object.keys(sigmas)])
    expect(first).toContain(`\`${name}\``);
});
