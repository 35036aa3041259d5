-- Times are Unix times in nanoseconds. Positions are positions in the log.

CREATE TABLE current (
  name     TEXT    NOT NULL,
  arch     TEXT    NOT NULL,
  version  TEXT    NOT NULL,
  want     TEXT    NOT NULL,
  flag     TEXT    NOT NULL,
  status   TEXT    NOT NULL,
  auto     INTEGER NOT NULL,
  position INTEGER NOT NULL, -- of the last change
  PRIMARY KEY (name, arch)
) STRICT, WITHOUT ROWID;

CREATE TABLE changes (
  name           TEXT    NOT NULL,
  arch           TEXT    NOT NULL,
  position       INTEGER NOT NULL,
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
  PRIMARY KEY (name, arch, position)
) STRICT, WITHOUT ROWID;

-- The facts that recorded changes.
CREATE TABLE causes (
  position INTEGER PRIMARY KEY,
  at       INTEGER NOT NULL,
  source   TEXT    NOT NULL, -- adopted, drifted, transaction
  txn      TEXT    NOT NULL  -- '' outside transactions
) STRICT;

CREATE TABLE transactions (
  id     TEXT    PRIMARY KEY,
  number INTEGER NOT NULL,
  verb   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
