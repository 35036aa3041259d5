-- Times are Unix times in nanoseconds. Positions are positions in the log.

CREATE TABLE transactions (
  number          INTEGER PRIMARY KEY,   -- as users see it; from the log
  id              TEXT    NOT NULL UNIQUE,
  verb            TEXT    NOT NULL,
  state           TEXT    NOT NULL,
  requested_at    INTEGER NOT NULL,
  started_at      INTEGER NOT NULL DEFAULT 0, -- 0: never
  ended_at        INTEGER NOT NULL DEFAULT 0,
  uid             INTEGER NOT NULL,           -- of the requester
  user            TEXT    NOT NULL,
  login_uid       INTEGER NOT NULL,
  sudo_user       TEXT    NOT NULL,
  tty             TEXT    NOT NULL,
  program         TEXT    NOT NULL,
  pid             INTEGER NOT NULL,
  words           TEXT    NOT NULL,           -- the command line
  dry_run         INTEGER NOT NULL,
  names           TEXT    NOT NULL,           -- of the requested packages, separated by spaces
  summary         TEXT    NOT NULL,
  plan_id         TEXT    NOT NULL DEFAULT '',
  counts          TEXT    NOT NULL DEFAULT '', -- of the plan, then of the changes; see Counts
  changed         INTEGER NOT NULL DEFAULT 0, -- rows in changes
  files           INTEGER NOT NULL DEFAULT 0, -- rows in files
  settings        INTEGER NOT NULL DEFAULT 0, -- rows in settings
  failure_kind    TEXT    NOT NULL DEFAULT '',
  failure_subject TEXT    NOT NULL DEFAULT '',
  failure_message TEXT    NOT NULL DEFAULT '',
  failure_hint    TEXT    NOT NULL DEFAULT '',
  target          TEXT    NOT NULL DEFAULT '', -- the transaction that an undo or redo reverts
  target_number   INTEGER NOT NULL DEFAULT 0,
  compensated_by  TEXT    NOT NULL DEFAULT '',
  exact           INTEGER NOT NULL DEFAULT 0,
  residue         TEXT    NOT NULL DEFAULT '', -- JSON list
  trail           TEXT    NOT NULL DEFAULT '', -- JSON list: undone by, redone by, …
  ended_position  INTEGER NOT NULL DEFAULT 0  -- of the outcome; 0 if it never ran
) STRICT;

-- An index of the rare states that queries select. An index of all states would change with
-- every fact. SQLite uses this index for a query that contains one of these terms literally.
CREATE INDEX transactions_state ON transactions (state, number)
  WHERE state = 'refused' OR state = 'denied' OR state = 'cancelled' OR state = 'failed' OR state = 'interrupted';
CREATE INDEX transactions_time ON transactions (requested_at);
CREATE INDEX transactions_plan ON transactions (plan_id, number) WHERE plan_id <> '';
CREATE INDEX transactions_compensated ON transactions (compensated_by) WHERE compensated_by <> '';
CREATE INDEX transactions_undoable ON transactions (ended_position)
  WHERE ended_position > 0 AND changed + files + settings > 0 AND compensated_by = '';

-- The columns that only the details of a transaction need.
CREATE TABLE details (
  number          INTEGER PRIMARY KEY,
  request         TEXT    NOT NULL,            -- id of the event that opened it
  packages        TEXT    NOT NULL,            -- JSON, as requested
  options         TEXT    NOT NULL,            -- JSON
  approved_by     TEXT    NOT NULL DEFAULT '', -- JSON
  approved_how    TEXT    NOT NULL DEFAULT '',
  approved_at     INTEGER NOT NULL DEFAULT 0,
  plan_base       TEXT    NOT NULL DEFAULT '',
  plan_download_b INTEGER NOT NULL DEFAULT 0,
  plan_disk_b     INTEGER NOT NULL DEFAULT 0,
  plan_steps      TEXT    NOT NULL DEFAULT '', -- JSON
  plan_residue    TEXT    NOT NULL DEFAULT '', -- JSON
  plan_notes      TEXT    NOT NULL DEFAULT '', -- JSON
  plan_risks      TEXT    NOT NULL DEFAULT '', -- JSON
  plan_undoes     TEXT    NOT NULL DEFAULT '', -- JSON
  lost            TEXT    NOT NULL DEFAULT '', -- JSON: removed versions that could not be stored
  recovered       TEXT    NOT NULL DEFAULT '', -- JSON
  chosen          TEXT    NOT NULL DEFAULT ''  -- JSON: for a phrase
) STRICT;

CREATE TABLE plan_changes (
  number     INTEGER NOT NULL,
  line       INTEGER NOT NULL, -- from 0, in the order of the plan
  name       TEXT    NOT NULL,
  arch       TEXT    NOT NULL,
  action     TEXT    NOT NULL,
  from_v     TEXT    NOT NULL,
  to_v       TEXT    NOT NULL,
  automatic  INTEGER NOT NULL,
  origin     TEXT    NOT NULL,
  download_b INTEGER NOT NULL,
  essential  INTEGER NOT NULL,
  disk_b     INTEGER NOT NULL,
  PRIMARY KEY (number, line)
) STRICT, WITHOUT ROWID;

CREATE TABLE steps (
  number      INTEGER NOT NULL,
  step        INTEGER NOT NULL, -- from 0
  op          TEXT    NOT NULL,
  argv        TEXT    NOT NULL, -- JSON
  started_at  INTEGER NOT NULL,
  ended_at    INTEGER NOT NULL DEFAULT 0, -- 0: not ended
  ok          INTEGER NOT NULL DEFAULT 0,
  exit_code   INTEGER NOT NULL DEFAULT 0,
  output      TEXT    NOT NULL DEFAULT '',
  failure     TEXT    NOT NULL DEFAULT '', -- JSON
  duration_ms INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (number, step)
) STRICT, WITHOUT ROWID;

-- The package changes of a transaction, according to dpkg.
CREATE TABLE changes (
  number         INTEGER NOT NULL,
  name           TEXT    NOT NULL,
  arch           TEXT    NOT NULL,
  position       INTEGER NOT NULL, -- of the outcome
  before_version TEXT    NOT NULL,
  before_want    TEXT    NOT NULL,
  before_flag    TEXT    NOT NULL,
  before_status  TEXT    NOT NULL,
  before_auto    INTEGER NOT NULL,
  after_version  TEXT    NOT NULL,
  after_want     TEXT    NOT NULL,
  after_flag     TEXT    NOT NULL,
  after_status   TEXT    NOT NULL,
  after_auto     INTEGER NOT NULL,
  PRIMARY KEY (number, name, arch)
) STRICT, WITHOUT ROWID;

CREATE INDEX changes_package ON changes (name, arch, position);

-- The changes of files and settings by a transaction.
CREATE TABLE files (
  number   INTEGER NOT NULL,
  path     TEXT    NOT NULL,
  position INTEGER NOT NULL,
  before   TEXT    NOT NULL, -- JSON of events.FileState
  after    TEXT    NOT NULL,
  PRIMARY KEY (number, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX files_path ON files (path, position);

CREATE TABLE settings (
  number   INTEGER NOT NULL,
  kind     TEXT    NOT NULL,
  name     TEXT    NOT NULL,
  before   TEXT    NOT NULL,
  after    TEXT    NOT NULL,
  PRIMARY KEY (number, kind, name)
) STRICT, WITHOUT ROWID;

-- The transactions that requested, planned or changed a package of a name.
CREATE TABLE touches (
  name   TEXT    NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (name, number)
) STRICT, WITHOUT ROWID;

-- The dead letters of handlers.
CREATE TABLE parked (
  id              TEXT    PRIMARY KEY, -- of the DeadLettered fact
  position        INTEGER NOT NULL,
  parked_at       INTEGER NOT NULL,
  txn             TEXT    NOT NULL,    -- '' outside transactions
  handler         TEXT    NOT NULL,
  stream          TEXT    NOT NULL,
  stream_position INTEGER NOT NULL,
  event           TEXT    NOT NULL,
  kind            TEXT    NOT NULL,
  failure         TEXT    NOT NULL,    -- JSON
  attempts        INTEGER NOT NULL,
  retried_at      INTEGER NOT NULL DEFAULT 0 -- 0: not yet
) STRICT, WITHOUT ROWID;

CREATE INDEX parked_open ON parked (position) WHERE retried_at = 0;
