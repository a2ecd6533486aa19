/** The door to Redis. Commands wait while the connection is away, and are sent when it is back. */

import { Redis, type RedisOptions } from 'ioredis';
import { FleetError } from './errors.ts';
import { describeRedis, type RedisAddress } from './redis-url.ts';

export type { Redis } from 'ioredis';

/** Milliseconds in which the first connection must be made. */
const firstTimeout = 5000;
/**
 * Milliseconds after which a connection that does not answer is given up: a network that drops packets closes none. Less
 * than a lease, so that a worker behind such a network still has time to extend its leases.
 */
const silence = 6000;

/** Throws `redisUnreachable`, `redisRefused`: a start without Redis is a mistake of the configuration more often than not. */
export async function connectRedis(address: RedisAddress): Promise<Redis> {
  const redis = gatherWrites(new Redis({ ...optionsOf(address), lazyConnect: true }));
  const where = describeRedis(address);
  let reason = 'nothing answered';
  const note = (error: Error) => {
    reason = (error as NodeJS.ErrnoException).code ?? error.message;
  };
  redis.on('error', note);
  const tooLate = Promise.withResolvers<never>();
  const timer = setTimeout(() => tooLate.reject(new Error('timeout')), firstTimeout);
  try {
    await Promise.race([redis.connect().catch(() => redis.ping()), tooLate.promise]);
    await Promise.race([redis.ping(), tooLate.promise]);
  } catch (error) {
    redis.disconnect();
    const found = (error as Error).message;
    const isRefusal = /NOAUTH|WRONGPASS|invalid (username|password)|NOPERM|without any password/i.exec(
      `${found} ${reason}`,
    );
    if (isRefusal)
      throw new FleetError('redisRefused', `Redis at ${where} refuses the user or the password: ${reason}.`);
    const message = `Redis at ${where} cannot be reached within ${firstTimeout / 1000} s: ${reason}. Is it running, and is the address right?`;
    throw new FleetError('redisUnreachable', message, {}, { cause: error });
  } finally {
    clearTimeout(timer);
    redis.off('error', note);
    // Reconnecting is ioredis' affair; who needs to know asks `status`.
    redis.on('error', () => {});
  }
  return redis;
}

/** Sends the commands of one turn of the event loop in one write to the system; ioredis writes each by itself. */
function gatherWrites(redis: Redis): Redis {
  redis.on('connect', () => {
    const { stream } = redis;
    const write = stream.write;
    stream.write = ((...args: Parameters<typeof write>) => {
      if (stream.writableCorked === 0) {
        stream.cork();
        process.nextTick(() => stream.uncork());
      }
      return write.apply(stream, args);
    }) as typeof write;
  });
  return redis;
}

/** A further connection to the same place, for commands that block or subscribe. */
export function duplicateRedis(redis: Redis): Redis {
  const further = redis.duplicate();
  further.on('error', () => {});
  return further;
}

function optionsOf(address: RedisAddress): RedisOptions {
  const { username, password, db, tls } = address;
  const secure = tls ? { tls: {} } : {};
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...('host' in address
      ? { host: address.host, port: address.port, ...secure }
      : { sentinels: address.sentinels, name: address.name, ...secure }),
    db,
    // BullMQ asks for it, and it is what we want: a command waits for the connection.
    maxRetriesPerRequest: null,
    connectTimeout: firstTimeout,
    socketTimeout: silence,
    keepAlive: 10_000,
    retryStrategy: (times) => Math.min(100 * times, 1000),
  };
}
