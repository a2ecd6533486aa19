/** `npm run docs`: writes the pages that are made from tables. A test fails when they are out of date. */
import { writeFileSync } from 'node:fs';
import { schedulersPage } from './schedulers-page.ts';

writeFileSync(new URL('../docs/reference/schedulers.md', import.meta.url), schedulersPage());
