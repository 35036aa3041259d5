-- Every read model has these two beside its own tables.

-- How far the model has come: one row, written in the transaction of the rows
-- that it speaks of.
CREATE TABLE checkpoint (
  id          INTEGER PRIMARY KEY CHECK (id = 1),
  projection  TEXT    NOT NULL,
  version     INTEGER NOT NULL,
  schema      TEXT    NOT NULL, -- fingerprint
  host        TEXT    NOT NULL, -- whose log
  position    INTEGER NOT NULL, -- 0: nothing applied yet
  event_id    TEXT    NOT NULL,
  hash        TEXT    NOT NULL,
  updated_at  TEXT    NOT NULL  -- for people
) STRICT;

-- Facts that could not be applied.
CREATE TABLE dead_letter (
  position  INTEGER PRIMARY KEY,
  event_id  TEXT NOT NULL,
  kind      TEXT NOT NULL,
  error     TEXT NOT NULL
) STRICT;
