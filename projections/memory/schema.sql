-- Times are nanoseconds since 1970 in UTC. Positions are places in the log.

-- What people said, sealed.
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

-- The packages that transactions were about, and who asked.
CREATE TABLE asked (
  txn    TEXT    NOT NULL,
  n      INTEGER NOT NULL, -- from 0
  uid    INTEGER NOT NULL,
  number INTEGER NOT NULL,
  verb   TEXT    NOT NULL,
  name   TEXT    NOT NULL,
  PRIMARY KEY (txn, n)
) STRICT, WITHOUT ROWID;

-- Choices as they were made.
CREATE TABLE made (
  txn      TEXT    NOT NULL,
  n        INTEGER NOT NULL, -- from 0
  uid      INTEGER NOT NULL,
  words    TEXT    NOT NULL, -- in lower case, with single blanks
  name     TEXT    NOT NULL,
  position INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  event    TEXT    NOT NULL,
  counts   INTEGER NOT NULL, -- 1 when it was carried out and not undone
  PRIMARY KEY (txn, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX made_words ON made (uid, words, name, position);

-- How often which package was chosen for which words.
CREATE TABLE choices (
  entry TEXT    NOT NULL UNIQUE, -- c, the position of the first one and its place in it
  uid   INTEGER NOT NULL,
  words TEXT    NOT NULL,
  name  TEXT    NOT NULL,
  times INTEGER NOT NULL,
  last  INTEGER NOT NULL, -- position
  at    INTEGER NOT NULL, -- of the last
  PRIMARY KEY (uid, words, name)
) STRICT, WITHOUT ROWID;

-- What did not work, and what worked later.
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
  fixed       INTEGER NOT NULL, -- number of the transaction, 0 when none
  fixed_event TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX failures_open ON failures (name, verb) WHERE fixed = 0;
CREATE INDEX failures_uid ON failures (uid, position);

-- Suggestions that nobody wants to hear again.
CREATE TABLE dismissed (
  uid        INTEGER NOT NULL,
  suggestion TEXT    NOT NULL,
  position   INTEGER NOT NULL,
  PRIMARY KEY (uid, suggestion)
) STRICT, WITHOUT ROWID;
