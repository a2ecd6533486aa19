/**
 * The schema as a list of migrations: number n migrates version n of a database to version n + 1. A released migration
 * is never edited; a new one goes to the end of the list.
 *
 * Times are milliseconds since 1970. UUIDs are lower case.
 */
export const migrations: readonly string[] = [
  // A task as it was accepted, and one result for each of its images. `item` or `failure` is JSON once it is settled.
  `CREATE TABLE tasks (
     uuid TEXT PRIMARY KEY,
     account TEXT NOT NULL,
     type TEXT NOT NULL,
     request TEXT NOT NULL,
     terms TEXT NOT NULL,
     accepted INTEGER NOT NULL,
     used INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX tasks_by_use ON tasks (used);
   CREATE TABLE results (
     uuid TEXT PRIMARY KEY,
     task TEXT NOT NULL REFERENCES tasks ON DELETE CASCADE,
     position INTEGER NOT NULL,
     seed TEXT NOT NULL,
     plan TEXT,
     item TEXT,
     failure TEXT,
     UNIQUE (task, position)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX results_open ON results (task) WHERE item IS NULL AND failure IS NULL;`,

  // The queue: running and waiting jobs, in the order of their arrival.
  `CREATE TABLE jobs (
     sequence INTEGER PRIMARY KEY AUTOINCREMENT,
     id TEXT NOT NULL UNIQUE,
     attempts INTEGER NOT NULL DEFAULT 0
   ) STRICT;`,

  // API keys by their SHA-256. A revoked key stays: its tasks keep their owner.
  `CREATE TABLE keys (
     id TEXT PRIMARY KEY,
     name TEXT NOT NULL,
     digest BLOB NOT NULL UNIQUE,
     created INTEGER NOT NULL,
     used INTEGER,
     revoked INTEGER
   ) STRICT, WITHOUT ROWID;
   CREATE UNIQUE INDEX keys_by_name ON keys (name) WHERE revoked IS NULL;`,

  // Usage by account and day: kept when the tasks themselves are deleted.
  `CREATE TABLE usage (
     account TEXT NOT NULL,
     date TEXT NOT NULL,
     tasks INTEGER NOT NULL,
     images INTEGER NOT NULL,
     computeSeconds REAL NOT NULL,
     cost REAL NOT NULL,
     PRIMARY KEY (account, date)
   ) STRICT, WITHOUT ROWID;`,

  // Webhooks and uploads that are pending or were given up. The item of an image that waits for its upload is in
  // `made`.
  `ALTER TABLE results ADD COLUMN made TEXT;
   CREATE TABLE deliveries (
     uuid TEXT PRIMARY KEY,
     kind TEXT NOT NULL,
     result TEXT NOT NULL REFERENCES results ON DELETE CASCADE,
     attempts INTEGER NOT NULL DEFAULT 0,
     due INTEGER NOT NULL,
     failure TEXT
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX deliveries_due ON deliveries (due) WHERE failure IS NULL;
   CREATE INDEX deliveries_by_result ON deliveries (result);`,

  // Images on disk: deleted at their expiry, or without one after the retention time since their last use.
  `CREATE TABLE assets (
     uuid TEXT PRIMARY KEY,
     used INTEGER NOT NULL,
     expires INTEGER
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX assets_by_use ON assets (used);
   CREATE INDEX assets_by_expiry ON assets (expires) WHERE expires IS NOT NULL;`,

  // The owner of an image that no task made.
  `CREATE TABLE uploads (
     uuid TEXT PRIMARY KEY REFERENCES assets ON DELETE CASCADE,
     account TEXT NOT NULL
   ) STRICT, WITHOUT ROWID;`,

  // The connection session whose client has not received a result yet.
  `ALTER TABLE results ADD COLUMN session TEXT;
   CREATE INDEX results_by_session ON results (session) WHERE session IS NOT NULL;`,

  // The owner of an image, which outlives the task that made it.
  `ALTER TABLE assets ADD COLUMN account TEXT;
   UPDATE assets SET account = coalesce(
     (SELECT account FROM uploads WHERE uploads.uuid = assets.uuid),
     (SELECT account FROM results JOIN tasks ON tasks.uuid = task WHERE results.uuid = assets.uuid));
   DROP TABLE uploads;`,

  // A client's taskUUID is unique within its account. `uuid` is the server's id; for earlier tasks it is the client's.
  `ALTER TABLE tasks ADD COLUMN taskUUID TEXT NOT NULL DEFAULT '';
   UPDATE tasks SET taskUUID = uuid;
   CREATE UNIQUE INDEX tasks_by_account ON tasks (account, taskUUID);`,

  // Round-robin over accounts: jobs run by round, then by sequence. An account has one job in each round.
  `ALTER TABLE jobs ADD COLUMN account TEXT NOT NULL DEFAULT '';
   ALTER TABLE jobs ADD COLUMN round INTEGER NOT NULL DEFAULT 0;
   UPDATE jobs SET account = coalesce(
     (SELECT account FROM results JOIN tasks ON tasks.uuid = task WHERE results.uuid = jobs.id), '');
   UPDATE jobs SET round = place FROM (
     SELECT sequence AS job, row_number() OVER (PARTITION BY account ORDER BY sequence) AS place FROM jobs)
   WHERE sequence = job;
   CREATE INDEX jobs_by_round ON jobs (round, sequence);
   CREATE INDEX jobs_by_account ON jobs (account, round);`,

  // Expiry by a clock that does not jump (clock.ts), sizes of images, owner and host of deliveries. An expiry beyond
  // the year 275760 means "never", and JavaScript cannot represent it.
  `CREATE TABLE clock (id INTEGER PRIMARY KEY CHECK (id = 1), now INTEGER NOT NULL, wall INTEGER NOT NULL) STRICT;
   UPDATE assets SET expires = NULL WHERE expires > 8640000000000000;
   ALTER TABLE assets ADD COLUMN bytes INTEGER;
   CREATE INDEX assets_by_account ON assets (account, bytes);
   ALTER TABLE deliveries ADD COLUMN account TEXT NOT NULL DEFAULT '';
   ALTER TABLE deliveries ADD COLUMN host TEXT NOT NULL DEFAULT '';
   UPDATE deliveries SET account = coalesce(
     (SELECT account FROM results JOIN tasks ON tasks.uuid = task WHERE results.uuid = deliveries.result), '');`,

  // Warnings about an image: a JSON array of sentences.
  `ALTER TABLE results ADD COLUMN warnings TEXT;`,

  // Engines that died while they ran a job, apart from `attempts`, which the end of the server leaves behind. Warnings get
  // codes: {"code", "message"} each; sentences alone have none.
  `ALTER TABLE jobs ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
   UPDATE results SET warnings = NULL;`,

  // Everything that an engine must have for a job (Queue.push). The index alone tells which job is next.
  `ALTER TABLE jobs ADD COLUMN needs TEXT NOT NULL DEFAULT '';
   DROP INDEX jobs_by_round;
   CREATE INDEX jobs_by_round ON jobs (round, sequence, needs, id);`,
];
