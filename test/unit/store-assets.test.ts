import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileAssetStore } from '../../src/store/assets-fs.ts';
import { Clock } from '../../src/store/clock.ts';
import { Database } from '../../src/store/db.ts';
import { Lifetimes } from '../../src/store/lifetimes.ts';

const uuid = '3f0c5c8e-5a9d-4a53-9d4b-0d6f8b7a1c2e';
const bytes = Uint8Array.of(1, 2, 3);
let folder: string;
let db: Database;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-assets-'));
  db = Database.open(':memory:');
});

afterEach(() => rm(folder, { recursive: true }));

const openStore = () => FileAssetStore.open(folder, new Lifetimes(db, new Clock(db)));

describe('the asset store of files', () => {
  it('leaves no drafts behind', async () => {
    const store = await openStore();
    await store.put({ uuid, format: 'webp', bytes });
    expect(await readdir(folder, { recursive: true })).toEqual(['3f', `3f/${uuid}.webp`]);
  });

  it('takes away the draft of a process that was killed, and nothing else', async () => {
    const store = await openStore();
    await store.put({ uuid, format: 'webp', bytes });
    await writeFile(join(folder, '3f', `${uuid}.png.0b5d.tmp`), bytes);
    await openStore();
    expect(await readdir(folder, { recursive: true })).toEqual(['3f', `3f/${uuid}.webp`]);
  });

  it('says so when a picture cannot be written', async () => {
    const store = await openStore();
    await writeFile(join(folder, '3f'), 'a file where a folder must be');
    await expect(store.put({ uuid, format: 'jpg', bytes })).rejects.toMatchObject({
      code: 'assetWriteFailed',
    });
  });

  it('does not open where it cannot write', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    const opening = FileAssetStore.open(join(file, 'images'), new Lifetimes(db, new Clock(db)));
    await expect(opening).rejects.toMatchObject({
      code: 'dataDirectoryUnusable',
      message: expect.stringContaining(file),
    });
  });
});
