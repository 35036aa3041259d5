-- The hashes of the tree, in the order in which tlog numbers them.
CREATE TABLE hashes (
  id   INTEGER PRIMARY KEY,
  hash BLOB    NOT NULL
) STRICT;

-- Where each event is.
CREATE TABLE places (
  event    TEXT    PRIMARY KEY,
  position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
