/** The contract of asset stores, run against each implementation. A new implementation is a line in the table. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AssetStore } from '../../src/store/assets.ts';
import { FileAssetStore } from '../../src/store/assets-fs.ts';
import { type ImageUrls, S3AssetStore } from '../../src/store/assets-s3.ts';
import { Clock } from '../../src/store/clock.ts';
import { Database } from '../../src/store/db.ts';
import { Lifetimes } from '../../src/store/lifetimes.ts';
import { Storage } from '../fixtures/s3.ts';

const uuid = '3f0c5c8e-5a9d-4a53-9d4b-0d6f8b7a1c2e';
const other = '3f9d1f66-0c42-4f0e-8a55-54c5a3b9f6d1';
const bytes = Buffer.from([1, 2, 3]);
const day = 86_400_000;

let storage: Storage;
let folder: string;
let db: Database;
let now: number;
let lifetimes: Lifetimes;

beforeAll(async () => {
  storage = await Storage.start();
});

afterAll(() => storage.stop());

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-assets-'));
  reset();
});

afterEach(() => rm(folder, { recursive: true }));

/** A new, empty database, as after the loss of the old one. */
function reset(): void {
  db = Database.open(':memory:');
  now = 0;
  const clock = new Clock(db, { wall: () => now, monotonic: () => now });
  lifetimes = new Lifetimes(db, clock);
}

let prefixes = 0;
const openBucket = (urls: ImageUrls = { by: 'front' }, prefix = `test ${++prefixes}/`) =>
  S3AssetStore.open({ bucket: storage.bucket(), prefix, urls, lifetimes });

const implementations: Record<string, () => Promise<AssetStore>> = {
  files: () => FileAssetStore.open(folder, lifetimes),
  s3: () => openBucket(),
};

describe.each(Object.entries(implementations))('the asset store of %s', (_name, open) => {
  let store: AssetStore;

  beforeEach(async () => {
    store = await open();
  });

  it('gives back what was put, and nothing once it is deleted', async () => {
    await store.put({ uuid, format: 'png', bytes, account: 'one' });
    expect(await store.get(uuid)).toEqual({ uuid, format: 'png', bytes, account: 'one' });
    expect(await store.get(uuid.toUpperCase())).toMatchObject({ uuid });
    expect(await store.has(uuid)).toBe(true);
    await store.delete(uuid);
    expect(await store.get(uuid)).toBeUndefined();
    expect(await store.has(uuid)).toBe(false);
    await store.delete(uuid);
  });

  it.each(['jpg', 'png', 'webp'] as const)('keeps %s as such', async (format) => {
    await store.put({ uuid, format, bytes });
    expect(await store.get(uuid)).toEqual({ uuid, format, bytes });
  });

  it.each(['../../etc/passwd', '..', '', '3f0c5c8e', `${uuid}/../x`, `${uuid}\0`])(
    'knows no asset %j and leads nowhere with it',
    async (name) => {
      expect(await store.get(name)).toBeUndefined();
      expect(await store.has(name)).toBe(false);
      await store.delete(name);
    },
  );

  it('forgets an image when its time is over, and the sweep removes it', async () => {
    await store.put({ uuid, format: 'png', bytes, ttl: 1000 });
    await store.put({ uuid: other, format: 'png', bytes });
    now += 999;
    expect(await store.get(uuid)).toMatchObject({ ttl: 1 });
    now += 1;
    expect(await store.get(uuid)).toBeUndefined();
    expect(await store.has(uuid)).toBe(false);
    await store.sweep(30 * day);
    expect(lifetimes.find(uuid)).toBeUndefined();
    expect(await store.has(other)).toBe(true);
  });

  it('removes images that were not used for the retention', async () => {
    await store.put({ uuid, format: 'png', bytes });
    await store.put({ uuid: other, format: 'png', bytes });
    now += 20 * day;
    await store.get(other);
    now += 11 * day;
    await store.sweep(30 * day);
    expect(await store.has(uuid)).toBe(false);
    expect(await store.has(other)).toBe(true);
  });

  it('refuses an image beyond the quota of its owner, and stores nothing of it', async () => {
    await store.put({ uuid, format: 'png', bytes, account: 'one' }, { quota: 5 });
    const second = store.put({ uuid: other, format: 'png', bytes, account: 'one' }, { quota: 5 });
    await expect(second).rejects.toMatchObject({ code: 'storageLimitReached' });
    expect(await store.has(other)).toBe(false);
  });

  it('answers the URL of this server', async () => {
    expect(await store.urlOf(uuid, 'jpg', 'https://front.example')).toBe(
      `https://front.example/images/${uuid}.jpg`,
    );
  });

  it('replaces an image that is put again', async () => {
    await store.put({ uuid, format: 'png', bytes });
    const changed = Buffer.alloc(100_000, 7);
    await store.put({ uuid, format: 'png', bytes: changed });
    expect((await store.get(uuid))?.bytes).toEqual(changed);
    expect(lifetimes.bytesOf('one')).toBe(0);
  });
});

describe('the asset store of s3', () => {
  it('registers again what a lost database does not know', async () => {
    const prefix = 'lost/';
    await (await openBucket({ by: 'front' }, prefix)).put({ uuid, format: 'webp', bytes, account: 'one' });
    reset();
    const store = await openBucket({ by: 'front' }, prefix);
    expect(await store.get(uuid)).toEqual({ uuid, format: 'webp', bytes });
    expect(lifetimes.find(uuid)).toEqual({ account: undefined, ttl: undefined });
  });

  it('keeps servers with other prefixes apart', async () => {
    await (await openBucket()).put({ uuid, format: 'png', bytes });
    expect(await (await openBucket()).has(uuid)).toBe(false);
  });

  it('presigns URLs that read the image and nothing else, no longer than it lives', async () => {
    const store = await openBucket({ by: 'presigned' });
    await store.put({ uuid, format: 'png', bytes, ttl: 60_000 });
    const url = await store.urlOf(uuid, 'png', 'https://front.example');
    expect(new URL(url).searchParams.get('X-Amz-Expires')).toBe('60');
    const response = await fetch(url);
    expect(response.headers.get('content-type')).toBe('image/png');
    expect(Buffer.from(await response.arrayBuffer())).toEqual(bytes);
    const changed = await fetch(url.replace(/Signature=../, 'Signature=00'));
    expect(changed.status).toBe(403);
  });

  it('puts the key behind a public address', async () => {
    const store = await openBucket({ by: 'public', base: 'https://cdn.example/pictures/' }, 'shop/');
    expect(await store.urlOf(uuid, 'jpg', '')).toBe(`https://cdn.example/pictures/shop/3f/${uuid}.jpg`);
  });

  it('waits with a finished image while the bucket is away, and stores it when it is back', async () => {
    const store = await openBucket();
    await storage.pause();
    const stored = store.put({ uuid, format: 'png', bytes }, { patience: new AbortController().signal });
    expect(await store.problem()).toMatch(/^The bucket images at 127\.0\.0\.1:\d+ does not answer/);
    await expect(store.get(uuid)).rejects.toMatchObject({ code: 'storageUnreachable' });
    await storage.resume();
    await stored;
    expect((await store.get(uuid))?.bytes).toEqual(bytes);
  });

  it('stops waiting when it is told to, and says why', async () => {
    const store = await openBucket();
    await storage.pause();
    const stop = new AbortController();
    const stored = store.put({ uuid, format: 'png', bytes }, { patience: stop.signal });
    stop.abort(new Error('The task was cancelled.'));
    await expect(stored).rejects.toThrow('The task was cancelled.');
    await expect(store.put({ uuid, format: 'png', bytes })).rejects.toMatchObject({
      code: 'assetWriteFailed',
    });
    await storage.resume();
  });

  it.each([
    [
      { credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'wrong' } },
      /status 403 \(SignatureDoesNotMatch\)/,
    ],
    [{ bucket: 'missing' }, /The bucket missing at .* answered PUT with HTTP status 404 \(NoSuchBucket\)/],
  ])('does not open with wrong settings %#', async (changes, message) => {
    const opening = storage.bucket(changes).probe('.probe');
    await expect(opening).rejects.toMatchObject({
      code: 'storageRefused',
      message: expect.stringMatching(message),
    });
  });

  it('does not open where nothing answers', async () => {
    const bucket = storage.bucket({ endpoint: 'http://127.0.0.1:1' });
    const opening = bucket.probe('.probe');
    await expect(opening).rejects.toMatchObject({ code: 'storageUnreachable' });
  });
});
