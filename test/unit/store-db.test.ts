import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Database, lockFolder } from '../../src/store/db.ts';
import { migrations } from '../../src/store/migrations.ts';

const notes = ['CREATE TABLE notes (text TEXT NOT NULL) STRICT'];
const insert = 'INSERT INTO notes VALUES (?)';
const opened: Database[] = [];
let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-db-'));
  path = join(folder, 'retouch.db');
});

afterEach(async () => {
  for (const database of opened.splice(0)) database.close();
  await rm(folder, { recursive: true });
});

function open(migrations: readonly string[] = notes, at = path): Database {
  return keep(Database.open(at, migrations));
}

function keep(database: Database): Database {
  opened.push(database);
  return database;
}

const texts = (database: Database) => database.all<{ text: string }>('SELECT text FROM notes');

describe('the database', () => {
  it('keeps what was written, in write-ahead mode', () => {
    const first = open();
    expect(first.get('PRAGMA journal_mode')).toEqual({ journal_mode: 'wal' });
    expect(first.run(insert, 'a')).toBe(1);
    first.close();
    expect(texts(open())).toEqual([{ text: 'a' }]);
  });

  it('makes the folder it is to lie in', () => {
    open(notes, join(folder, 'new', 'folder', 'retouch.db'));
  });

  it('runs each migration once, in order, over what is there', () => {
    open().run(insert, 'a');
    const next = [...notes, 'ALTER TABLE notes ADD COLUMN size INTEGER DEFAULT 7'];
    expect(open(next).all('SELECT * FROM notes')).toEqual([{ text: 'a', size: 7 }]);
    expect(open(next).get('PRAGMA user_version')).toEqual({ user_version: 2 });
  });

  it('leaves the file as it was when a migration fails', () => {
    open().run(insert, 'a');
    expect(() => open([...notes, 'DROP TABLE notes; SELECT nonsense FROM nowhere'])).toThrow('nowhere');
    expect(texts(open())).toEqual([{ text: 'a' }]);
  });

  it('does not open what a newer version wrote', () => {
    open([...notes, 'CREATE TABLE more (x) ']).close();
    expect(() => open()).toThrow(expect.objectContaining({ code: 'databaseNewer' }));
  });

  it('makes its own tables', () => {
    const names = keep(Database.open(path)).all<{ name: string }>(
      "SELECT name FROM sqlite_schema WHERE type = 'table'",
    );
    expect(names.map(({ name }) => name)).toEqual(expect.arrayContaining(['tasks', 'results', 'jobs']));
  });
});

describe('the pictures of an older database', () => {
  it('are whose upload or task they were', () => {
    const before = keep(Database.open(path, migrations.slice(0, 8)));
    const picture = 'INSERT INTO assets (uuid, used) VALUES (?, 1)';
    for (const uuid of ['uploaded', 'made', 'found']) before.run(picture, uuid);
    before.run("INSERT INTO uploads (uuid, account) VALUES ('uploaded', 'first')");
    before.run(
      "INSERT INTO tasks (uuid, account, type, request, terms, accepted, used) VALUES ('t', 'second', '', '', '', 1, 1)",
    );
    before.run("INSERT INTO results (uuid, task, position, seed) VALUES ('made', 't', 0, '1')");
    before.close();
    const rows = keep(Database.open(path)).all('SELECT uuid, account FROM assets ORDER BY uuid');
    expect(rows).toEqual([
      { uuid: 'found', account: null },
      { uuid: 'made', account: 'second' },
      { uuid: 'uploaded', account: 'first' },
    ]);
  });
});

describe('a transaction', () => {
  it.each([true, false])('is all or nothing (durable: %s)', (durable) => {
    const database = open();
    const fail = () =>
      database.transaction(
        () => {
          database.run(insert, 'a');
          throw new Error('no');
        },
        { durable },
      );
    expect(fail).toThrow('no');
    expect(texts(database)).toEqual([]);
    database.transaction(() => database.run(insert, 'b'), { durable });
    expect(texts(database)).toEqual([{ text: 'b' }]);
  });

  it('waits for the disk only when it is durable', () => {
    const database = open();
    const mode = () => database.get<{ synchronous: number }>('PRAGMA synchronous')!.synchronous;
    expect([database.transaction(mode, { durable: true }), database.transaction(mode)]).toEqual([2, 1]);
  });

  it('inside another one is part of it', () => {
    const database = open();
    const fail = () =>
      database.transaction(() => {
        database.transaction(() => database.run(insert, 'a'));
        throw new Error('no');
      });
    expect(fail).toThrow('no');
    expect(texts(database)).toEqual([]);
  });
});

describe('a checkpoint', () => {
  it('moves the log into the database once there is enough of it', async () => {
    const database = open();
    const log = async () => (await readFile(`${path}-wal`)).length;
    const size = async () => (await readFile(path)).length;
    for (let row = 0; row < 100; row++) database.run(insert, 'x'.repeat(4000));
    const before = await size();
    database.checkpoint();
    expect(await size()).toBe(before);
    for (let row = 0; row < 500; row++) database.run(insert, 'x'.repeat(4000));
    database.checkpoint();
    expect(await size()).toBeGreaterThan(before + 600 * 4000);
    // The log is used again from its beginning.
    const full = await log();
    for (let row = 0; row < 50; row++) database.run(insert, 'x'.repeat(4000));
    expect(await log()).toBe(full);
  });
});

describe('a flush', () => {
  it('is one for all who ask before the disk has its turn', async () => {
    const database = open();
    database.run(insert, 'a');
    const first = database.flush();
    expect(database.flush()).toBe(first);
    await first;
    expect(database.flush()).not.toBe(first);
    await database.flush();
  });

  it('says so when the log cannot be written to the disk, and is tried again by the next', async () => {
    const database = open();
    database.run(insert, 'a');
    await rename(`${path}-wal`, `${path}-gone`);
    const code = 'dataDirectoryUnusable';
    await expect(database.flush()).rejects.toMatchObject({ code });
    await rename(`${path}-gone`, `${path}-wal`);
    await database.flush();
  });
});

describe('a database that cannot be used is said so', () => {
  it('when it is no database', async () => {
    await writeFile(path, 'not a database at all, whatever its name says. '.repeat(100));
    expect(() => open()).toThrow(
      expect.objectContaining({ code: 'databaseCorrupt', message: expect.stringContaining(path) }),
    );
  });

  it('when a page in its middle is damaged', async () => {
    const database = open();
    for (let row = 0; row < 100; row++) database.run(insert, 'x'.repeat(1000));
    database.close();
    const bytes = await readFile(path);
    bytes.fill(0xff, 3 * 4096, 4 * 4096);
    await writeFile(path, bytes);
    expect(() => open()).toThrow(expect.objectContaining({ code: 'databaseCorrupt' }));
  });

  it('when its folder cannot be made', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    expect(() => open(notes, join(file, 'retouch.db'))).toThrow(
      expect.objectContaining({ code: 'dataDirectoryUnusable', message: expect.stringContaining(file) }),
    );
  });

  it('when the disk is full, and what was there stays', () => {
    const database = open();
    database.run(insert, 'a');
    database.get('PRAGMA max_page_count = 5');
    const fill = () => database.transaction(() => database.run(insert, 'x'.repeat(100_000)));
    expect(fill).toThrow(expect.objectContaining({ code: 'databaseFull' }));
    database.get('PRAGMA max_page_count = 1000');
    database.transaction(() => database.run(insert, 'b'));
    expect(texts(database)).toEqual([{ text: 'a' }, { text: 'b' }]);
  });
});

describe('the lock of a data directory', () => {
  const module = new URL('../../src/store/db.ts', import.meta.url).href;
  const script = `
    import { lockFolder } from '${module}';
    globalThis.lock = lockFolder(process.argv[1]);
    console.log('locked');
    setInterval(() => {}, 1e9);
  `;

  async function startHolder(): Promise<ChildProcess> {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, folder]);
    await once(child.stdout, 'data');
    return child;
  }

  it('is held by one process, and ends with it however it ends', async () => {
    const holder = await startHolder();
    const inUse = { code: 'dataDirectoryInUse', message: expect.stringContaining(folder) };
    expect(() => lockFolder(folder)).toThrow(expect.objectContaining(inUse));
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    lockFolder(folder).release();
    lockFolder(folder).release();
  });
});
