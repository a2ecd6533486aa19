import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { memoryTable, withMemoryTable } from '../../scripts/memory-table.ts';

const page = readFileSync(new URL('../../docs/devices.md', import.meta.url), 'utf8');

it('the memory table of the page is that of the program; npm run docs writes it', () => {
  expect(page).toContain(memoryTable());
  expect(withMemoryTable(page)).toBe(page);
});

it('the table counts the 12 B transformer: 23.8 GB in f16, whose edit of a megapixel fits a card of 32 GB', () => {
  const row = memoryTable().split('\n')[3]!;
  expect(row).toMatch(/^\| `f16` \| 23\.8 \|/);
});
