/**
 * `retouch.db` in the data directory: all state that must outlive the process. Statements are synchronous: each takes
 * some microseconds, and no other work can run inside a transaction.
 *
 * A commit survives the end of the process at once, and a power failure from the next checkpoint on. The server calls
 * `flush` before it acknowledges a commit to a client; a command, which has nothing else to do, makes its commits
 * `durable`.
 */

import { closeSync, fdatasync, mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { RetouchError } from '../error.ts';
import type { StoreErrorCode } from './errors.ts';
import { fileMode, folderMode } from './files.ts';
import { migrations } from './migrations.ts';

export type Value = SQLInputValue;

const syncFile = promisify(fdatasync);

/** Writing statements between two checkpoints: about a thousand pages of the log. */
const checkpointInterval = 600;
/** Pages of the log at which SQLite checkpoints by itself, if `checkpoint` was not called in time. */
const forcedCheckpoint = 8000;

/** Milliseconds to wait for another process, such as a command that changes the keys. */
const busyTimeout = 5000;

export class Database {
  readonly path: string;
  readonly #connection: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /** The open write-ahead log, after the first flush. */
  #log: number | undefined;
  #writes = 0;
  #flushing: Promise<void> = Promise.resolve();
  #nextFlush: Promise<void> | undefined;

  private constructor(path: string, connection: DatabaseSync) {
    this.path = path;
    this.#connection = connection;
  }

  /** Throws `dataDirectoryUnusable`, `databaseCorrupt`, `databaseNewer`, `databaseBusy`, `databaseFull`. */
  static open(path: string, changes: readonly string[] = migrations): Database {
    const connection = connect(path);
    try {
      const database = new Database(path, connection);
      database.#prepareFile();
      database.#migrate(changes);
      return database;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  get<Row extends object>(sql: string, ...values: Value[]): Row | undefined {
    return this.#try(() => this.#statement(sql).get(...values) as Row | undefined);
  }

  all<Row extends object>(sql: string, ...values: Value[]): Row[] {
    return this.#try(() => this.#statement(sql).all(...values) as Row[]);
  }

  /** The number of rows changed. */
  run(sql: string, ...values: Value[]): number {
    this.#writes++;
    return this.#try(() => Number(this.#statement(sql).run(...values).changes));
  }

  /** Runs the work in a transaction; inside another transaction it joins that one. */
  transaction<Result>(work: () => Result, { durable = false } = {}): Result {
    if (this.#connection.isTransaction) return work();
    if (durable) this.#execute('PRAGMA synchronous = FULL');
    try {
      this.run('BEGIN IMMEDIATE');
      const result = work();
      this.run('COMMIT');
      return result;
    } catch (error) {
      // After an error of a full disk SQLite has rolled back by itself.
      if (this.#connection.isTransaction) this.#connection.exec('ROLLBACK');
      throw error;
    } finally {
      if (durable) this.#connection.exec('PRAGMA synchronous = NORMAL');
    }
  }

  /**
   * Resolves when every commit so far survives a power failure. Calls during an fsync share the next one. Throws
   * `dataDirectoryUnusable`.
   */
  flush(): Promise<void> {
    this.#nextFlush ??= this.#flushing.then(() => {
      this.#nextFlush = undefined;
      const flush = this.#syncLog();
      this.#flushing = flush.catch(() => {});
      return flush;
    });
    return this.#nextFlush;
  }

  /**
   * The fsync that synchronous = FULL would do in each commit, without blocking the event loop:
   * https://sqlite.org/wal.html.
   */
  async #syncLog(): Promise<void> {
    try {
      this.#log ??= openSync(`${this.path}-wal`, 'r+');
      await syncFile(this.#log);
    } catch (error) {
      throw explain(this.path, error);
    }
  }

  /**
   * Checkpoints the write-ahead log when it is long enough. That waits for the disk for some milliseconds, so it runs
   * when no client waits, and not in the commit that happens to fill the log.
   */
  checkpoint(): void {
    if (this.#writes < checkpointInterval) return;
    this.#writes = 0;
    try {
      this.get('PRAGMA wal_checkpoint(PASSIVE)');
    } catch {
      // Nothing is lost: the log has all commits, and the next write reports the same error.
    }
  }

  close(): void {
    this.#statements.clear();
    if (this.#log !== undefined) closeSync(this.#log);
    this.#log = undefined;
    if (this.#connection.isOpen) this.#connection.close();
  }

  #prepareFile(): void {
    this.#execute('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON');
    this.#execute(`PRAGMA wal_autocheckpoint = ${forcedCheckpoint}`);
    // Damage in the middle of the file would otherwise be found by the first task that reads it.
    const { quick_check: found } = this.get<{ quick_check: string }>('PRAGMA quick_check(1)')!;
    if (found !== 'ok') throw corrupt(this.path, found);
  }

  #migrate(changes: readonly string[]): void {
    this.transaction(() => {
      const { user_version: version } = this.get<{ user_version: number }>('PRAGMA user_version')!;
      if (version > changes.length) {
        const message = `The database ${this.path} has version ${version}; this Retouch knows versions up to ${changes.length}. Use the newer one that wrote it.`;
        throw storeError('databaseNewer', message);
      }
      for (const sql of changes.slice(version)) this.#execute(sql);
      this.#execute(`PRAGMA user_version = ${changes.length}`);
    });
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#connection.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  #execute(sql: string): void {
    this.#try(() => this.#connection.exec(sql));
  }

  #try<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      throw explain(this.path, error);
    }
  }
}

export type FolderLock = { release(): void };

/**
 * Locks the data directory until `release` or the end of the process, also when it is killed: the lock is the operating
 * system's. Two servers would each run the same tasks. Throws `dataDirectoryInUse`, `dataDirectoryUnusable`.
 */
export function lockFolder(folder: string): FolderLock {
  const path = join(folder, 'serve.lock');
  const connection = connect(path, 0);
  try {
    connection.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    connection.close();
    if (resultCode(error) !== code.busy) throw explain(path, error);
    const message = `The data directory ${folder} is used by another running server; give each its own.`;
    throw storeError('dataDirectoryInUse', message, error);
  }
  return { release: () => connection.isOpen && connection.close() };
}

function connect(path: string, timeout = busyTimeout): DatabaseSync {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: folderMode });
    // SQLite gives its log and index the mode of the database file.
    if (path !== ':memory:') closeSync(openSync(path, 'a', fileMode));
    return new DatabaseSync(path, { timeout });
  } catch (error) {
    throw explain(path, error);
  }
}

/** Primary result codes, https://sqlite.org/rescode.html. */
const code = { busy: 5, readOnly: 8, ioError: 10, corrupt: 11, full: 13, cannotOpen: 14, notADatabase: 26 };

/** The low byte of SQLite's error code; undefined for other errors. */
function resultCode(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: number };
  return errcode === undefined ? undefined : errcode & 0xff;
}

function explain(path: string, error: unknown): unknown {
  const found = resultCode(error);
  const { message, code: name } = error as NodeJS.ErrnoException;
  switch (found) {
    case code.corrupt:
    case code.notADatabase:
      return corrupt(path, message, error);
    case code.full:
      return storeError('databaseFull', `Nothing more can be written to ${path}: the disk is full.`, error);
    case code.busy: {
      const waited = `it has been locked by another process for ${busyTimeout / 1000} s`;
      return storeError('databaseBusy', `The database ${path} cannot be used: ${waited}.`, error);
    }
    case code.readOnly:
    case code.cannotOpen:
    case code.ioError:
      return unusable(path, message, error);
  }
  return found === undefined && name?.startsWith('E') && !name.startsWith('ERR_')
    ? unusable(path, name, error)
    : error;
}

function unusable(path: string, reason: string, cause: unknown): RetouchError {
  const message = `The data directory ${dirname(path)} cannot be written to: ${reason}.`;
  return storeError('dataDirectoryUnusable', message, cause);
}

function corrupt(path: string, reason: string, cause?: unknown): RetouchError {
  const message =
    `The database ${path} is damaged (${reason}). Restore it from a backup, or move it away to start with an ` +
    'empty one: stored pictures stay, tasks and their results are forgotten.';
  return storeError('databaseCorrupt', message, cause);
}

function storeError(name: StoreErrorCode, message: string, cause?: unknown): RetouchError {
  return new RetouchError(name, message, {}, { cause });
}
