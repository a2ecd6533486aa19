/** A connection to the Redis of a fleet, from its settings. */

import type { FleetConnection } from './job-queues.ts';
import { fleetKeys } from './keys.ts';
import { connectRedis } from './redis.ts';
import { describeRedis, readRedisUrl } from './redis-url.ts';
import { BucketTransfers, RedisTransfers, type TransferBucket, type Transfers } from './transfers.ts';

export type FleetSettings = {
  redis: string;
  redisPrefix: string;
  transferLimit: number;
  /** Where plans and images travel, and the start of its keys; through Redis without one. */
  bucket?: { store: TransferBucket; prefix: string } | undefined;
};

export type OpenFleet = {
  connection: FleetConnection;
  transfers: Transfers;
  /** Where Redis is, for people: without its password. */
  where: string;
};

/** Throws `redisUnreachable`, `redisRefused`. */
export async function openFleet({
  redis: url,
  redisPrefix,
  transferLimit,
  bucket,
}: FleetSettings): Promise<OpenFleet> {
  // The configuration has read it.
  const address = readRedisUrl(url)!;
  const redis = await connectRedis(address);
  const keys = fleetKeys(redisPrefix);
  return {
    connection: { redis, keys },
    transfers: bucket
      ? new BucketTransfers(bucket.store, bucket.prefix)
      : new RedisTransfers(redis, keys, transferLimit),
    where: describeRedis(address),
  };
}
