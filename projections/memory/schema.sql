-- Times are Unix times in nanoseconds. Positions are positions in the log.

-- Stated preferences, encrypted.
CREATE TABLE stated (
  entry    TEXT    PRIMARY KEY, -- p and the position
  uid      INTEGER NOT NULL,
  position INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  event    TEXT    NOT NULL,
  key      TEXT    NOT NULL,
  nonce    BLOB,
  text     BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX stated_uid ON stated (uid, position);

-- The requested packages of transactions.
CREATE TABLE asked (
  txn    TEXT    NOT NULL,
  n      INTEGER NOT NULL, -- from 0
  uid    INTEGER NOT NULL,
  number INTEGER NOT NULL,
  verb   TEXT    NOT NULL,
  name   TEXT    NOT NULL,
  PRIMARY KEY (txn, n)
) STRICT, WITHOUT ROWID;

-- The choices of each request.
CREATE TABLE made (
  txn      TEXT    NOT NULL,
  n        INTEGER NOT NULL, -- from 0
  uid      INTEGER NOT NULL,
  words    TEXT    NOT NULL, -- lower case, single spaces
  name     TEXT    NOT NULL,
  position INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  event    TEXT    NOT NULL,
  counts   INTEGER NOT NULL, -- 1 if the transaction succeeded and is not undone
  PRIMARY KEY (txn, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX made_words ON made (uid, words, name, position);

-- The number of choices of each package for each phrase.
CREATE TABLE choices (
  entry TEXT    NOT NULL UNIQUE, -- c, the position of the first choice and, unless 0, its n
  uid   INTEGER NOT NULL,
  words TEXT    NOT NULL,
  name  TEXT    NOT NULL,
  times INTEGER NOT NULL,
  last  INTEGER NOT NULL, -- position
  at    INTEGER NOT NULL, -- of the last choice
  PRIMARY KEY (uid, words, name)
) STRICT, WITHOUT ROWID;

-- Failures, and the transactions that fixed them.
CREATE TABLE failures (
  entry       TEXT    PRIMARY KEY, -- f and the position
  uid         INTEGER NOT NULL,
  number      INTEGER NOT NULL,
  verb        TEXT    NOT NULL,
  name        TEXT    NOT NULL, -- of the package
  position    INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  event       TEXT    NOT NULL,
  reason      TEXT    NOT NULL,
  fixed       INTEGER NOT NULL, -- number of the transaction that fixed it, or 0
  fixed_event TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX failures_open ON failures (name, verb) WHERE fixed = 0;
CREATE INDEX failures_uid ON failures (uid, position);

-- Dismissed suggestions.
CREATE TABLE dismissed (
  uid        INTEGER NOT NULL,
  suggestion TEXT    NOT NULL,
  position   INTEGER NOT NULL,
  PRIMARY KEY (uid, suggestion)
) STRICT, WITHOUT ROWID;
