/** Where a server keeps its images: in the data directory, or in a bucket when one is configured. */

import { join } from 'node:path';
import type { Config } from '../config.ts';
import { RetouchError } from '../error.ts';
import type { FleetSettings } from '../fleet/open.ts';
import type { AssetStore } from '../store/assets.ts';
import { FileAssetStore } from '../store/assets-fs.ts';
import { type ImageUrls, S3AssetStore } from '../store/assets-s3.ts';
import { Bucket, type Credentials } from '../store/bucket.ts';
import type { StoreErrorCode } from '../store/errors.ts';
import type { Lifetimes } from '../store/lifetimes.ts';

type Env = Readonly<Record<string, string | undefined>>;

export type OpenAssets = { config: Config; lifetimes: Lifetimes; bucket: Bucket | undefined };

/** `problem` says why the bucket cannot be used now. Throws `dataDirectoryUnusable`, `storageRefused`, `storageUnreachable`. */
export async function openAssets({
  config,
  lifetimes,
  bucket,
}: OpenAssets): Promise<AssetStore & { problem?(): Promise<string | undefined> }> {
  if (!bucket) return FileAssetStore.open(join(config.dataDir, 'images'), lifetimes);
  return S3AssetStore.open({
    bucket,
    prefix: config.s3Prefix,
    urls: urlsOf(config),
    lifetimes,
  });
}

/** The bucket of the configuration, tried once; undefined without one. Throws `storageRefused`, `storageUnreachable`. */
export async function openBucket(config: Config): Promise<Bucket | undefined> {
  if (config.s3Bucket === '') return undefined;
  const bucket = bucketOf(config, process.env);
  await bucket.probe(`${config.s3Prefix}.probe`);
  return bucket;
}

/** The settings of a fleet, whose plans and images travel through the bucket where there is one. */
export function fleetSettings(config: Config, bucket: Bucket | undefined): FleetSettings {
  return { ...config, bucket: bucket && { store: bucket, prefix: config.s3Prefix } };
}

function bucketOf({ s3Bucket, s3Endpoint, s3Region, s3PathStyle }: Config, env: Env): Bucket {
  return new Bucket({
    bucket: s3Bucket,
    region: s3Region || env.AWS_REGION || env.AWS_DEFAULT_REGION || 'us-east-1',
    credentials: credentialsOf(env),
    ...(s3Endpoint === '' ? {} : { endpoint: s3Endpoint }),
    // AWS wants the bucket in the host name; most others have no DNS names for buckets.
    pathStyle: s3PathStyle === 'auto' ? s3Endpoint !== '' : s3PathStyle === 'yes',
  });
}

function credentialsOf(env: Env): Credentials {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  } = env;
  if (accessKeyId && secretAccessKey)
    return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
  const missing = [
    ...(accessKeyId ? [] : ['AWS_ACCESS_KEY_ID']),
    ...(secretAccessKey ? [] : ['AWS_SECRET_ACCESS_KEY']),
  ].join(' and ');
  const message = `A bucket is configured, and the environment has no ${missing}; expected the credentials of the bucket there.`;
  throw new RetouchError('storageRefused' satisfies StoreErrorCode, message);
}

function urlsOf({ s3Urls, s3PublicUrl }: Config): ImageUrls {
  if (s3PublicUrl !== '') return { by: 'public', base: s3PublicUrl };
  return { by: s3Urls };
}
