import type { FastifyRequest } from 'fastify';
import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { createGate } from '../../src/server/auth.ts';
import { digestOf } from '../../src/store/keys.ts';

/** A gate whose reads of the stored keys are counted. */
function countingGate(keys: readonly string[]) {
  let reads = 0;
  const digests = () => {
    reads++;
    return keys.map((key) => ({ id: key, digest: digestOf(key) }));
  };
  const gate = createGate(loadConfig({ env: {}, flags: {} }), { digests, noteUse() {} });
  return { gate, reads: () => reads };
}

const requestOf = (headers: object) => ({ headers, raw: {} }) as FastifyRequest;

it('a request without an origin, which no browser sends, reads the keys once', () => {
  const { gate, reads } = countingGate([]);
  expect(gate.allowsOrigin(requestOf({}))).toBe(true);
  expect(gate.checkRequest(requestOf({}))).toBe('everyone');
  expect(reads()).toBe(1);
});

it.each([
  ['https://example.com', [], false],
  ['http://localhost:3000', [], true],
  ['https://example.com', ['rt_key'], true],
])('a page of %s may read the answers of a server with the keys %j: %s', (origin, keys, expected) => {
  expect(countingGate(keys).gate.allowsOrigin(requestOf({ origin }))).toBe(expected);
});
