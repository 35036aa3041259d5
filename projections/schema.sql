-- The tables that every read model has.

-- The last applied record: one row, which is updated in the same transaction as the
-- tables of the read model.
CREATE TABLE checkpoint (
  id          INTEGER PRIMARY KEY CHECK (id = 1),
  projection  TEXT    NOT NULL,
  version     INTEGER NOT NULL,
  schema      TEXT    NOT NULL, -- fingerprint; informational
  host        TEXT    NOT NULL, -- the host of the log
  position    INTEGER NOT NULL, -- 0: no record applied
  event_id    TEXT    NOT NULL,
  hash        TEXT    NOT NULL,
  updated_at  TEXT    NOT NULL  -- informational
) STRICT;

-- The facts that could not be applied.
CREATE TABLE dead_letter (
  position  INTEGER PRIMARY KEY,
  event_id  TEXT NOT NULL,
  kind      TEXT NOT NULL,
  error     TEXT NOT NULL
) STRICT;
