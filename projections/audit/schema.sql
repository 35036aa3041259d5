-- The hashes of the tree. The ids are the storage indexes of package tlog.
CREATE TABLE hashes (
  id   INTEGER PRIMARY KEY,
  hash BLOB    NOT NULL
) STRICT;

-- The position of each event.
CREATE TABLE places (
  event    TEXT    PRIMARY KEY,
  position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
