/** `npm run docs`: writes the pages that are made from tables. A test fails when they are out of date. */
import { readFileSync, writeFileSync } from 'node:fs';
import { withMemoryTable } from './memory-table.ts';
import { schedulersPage } from './schedulers-page.ts';

writeFileSync(new URL('../docs/reference/schedulers.md', import.meta.url), schedulersPage());

const devices = new URL('../docs/devices.md', import.meta.url);
writeFileSync(devices, withMemoryTable(readFileSync(devices, 'utf8')));
