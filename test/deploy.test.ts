/** The files of deploy/ against the settings that there are. */

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { settings, variableOf } from '../src/config.ts';

const folder = new URL('../deploy/', import.meta.url);
const files = readdirSync(folder).map((name) => ({
  name,
  text: readFileSync(new URL(name, folder), 'utf8'),
}));
const known = Object.keys(settings).map(variableOf);

describe.each(files)('deploy/$name', ({ text }) => {
  it('names only settings that exist', () => {
    const named = [...text.matchAll(/\bRETOUCH_[A-Z0-9_]+/g)].map(([name]) => name);
    expect(named.filter((name) => !known.includes(name))).toEqual([]);
  });

  it('gives the server more time to end than its own limit', () => {
    const [, seconds] = /(?:stop_grace_period: |TimeoutStopSec=)(\d+)/.exec(text) ?? [];
    if (seconds !== undefined) expect(Number(seconds)).toBeGreaterThan(settings['shutdown-timeout'].initial);
  });
});

it('the container runs without root, and its server is process 1', () => {
  const { text } = files.find(({ name }) => name === 'Dockerfile')!;
  expect(text).toMatch(/^USER \d{4,}:\d{4,}$/m);
  expect(text).toMatch(/^ENTRYPOINT \["retouch"\]$/m);
  expect(text).toMatch(/^HEALTHCHECK /m);
});
