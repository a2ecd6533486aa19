import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { apiErrors } from '../../src/api/errors.ts';
import { configErrors } from '../../src/config.ts';
import { netErrors } from '../../src/net/errors.ts';
import { queueErrors } from '../../src/queue/queue.ts';
import { serverErrors } from '../../src/server/server.ts';
import { storeErrors } from '../../src/store/errors.ts';

const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
const rows = page.matchAll(/^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$/gm);
const documented = [...rows].map(([, code, where, meaning]) => ({
  code: code!,
  where: where!,
  meaning: meaning!,
}));

function inCode(where: string, table: Readonly<Record<string, string>>) {
  return Object.entries(table).map(([code, meaning]) => ({ code, where, meaning }));
}

const api = Object.entries(apiErrors).map(([code, [status, meaning]]) => ({
  code,
  where: `API ${status}`,
  meaning,
}));

describe('docs/errors.md', () => {
  it.each([
    ['API', api],
    ['configuration', inCode('configuration', configErrors)],
    ['network', inCode('network', netErrors)],
    ['queue', inCode('queue', queueErrors)],
    ['server', inCode('server', serverErrors)],
    ['store', inCode('store', storeErrors)],
  ])('has every code of the %s and no other', (where, table) => {
    const byCode = (a: { code: string }, b: { code: string }) => (a.code < b.code ? -1 : 1);
    const listed = documented.filter((row) => row.where.split(' ', 1)[0] === where);
    expect(listed.sort(byCode)).toEqual([...table].sort(byCode));
  });

  it('has no code twice', () => {
    const codes = documented.map(({ code }) => code);
    expect(codes.filter((code, index) => codes.indexOf(code) !== index)).toEqual([]);
  });
});
