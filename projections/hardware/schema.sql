-- Times are Unix times in nanoseconds. Positions are positions in the log. Values are JSON.

CREATE TABLE snapshots (
  position INTEGER PRIMARY KEY,
  at       INTEGER NOT NULL,
  reason   TEXT    NOT NULL, -- start, request, plan
  boot     TEXT    NOT NULL,
  devices  TEXT    NOT NULL,
  stable   TEXT    NOT NULL,
  took_us  INTEGER NOT NULL,
  changed  INTEGER NOT NULL  -- stable facts that differ from the previous snapshot
) STRICT;

CREATE TABLE facts (
  position   INTEGER NOT NULL, -- of the snapshot
  key        TEXT    NOT NULL,
  value      TEXT    NOT NULL, -- '' if unknown
  source     TEXT    NOT NULL,
  confidence TEXT    NOT NULL,
  error      TEXT    NOT NULL,
  volatile   INTEGER NOT NULL,
  PRIMARY KEY (position, key)
) STRICT, WITHOUT ROWID;

-- The number of changes of the next snapshot. HardwareChanged precedes it in the log.
CREATE TABLE pending (
  only    INTEGER PRIMARY KEY CHECK (only = 1),
  changed INTEGER NOT NULL
) STRICT;
