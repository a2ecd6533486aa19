/** The tests of server-http.test.ts once more, with the engine on a worker behind Redis. */

import { afterAll, it } from 'vitest';
import { hasRedis } from '../fixtures/redis-process.ts';
import { startTestRedis } from '../fixtures/test-redis.ts';

if (hasRedis) {
  afterAll(await startTestRedis());
  await import('../server/http.test.ts');
} else {
  it.skip('need Redis');
}
