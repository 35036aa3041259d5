-- Times are nanoseconds since 1970 in UTC. Positions are places in the log. What a
-- fact says is kept as its JSON.

CREATE TABLE profiles (
  name     TEXT    PRIMARY KEY,
  position INTEGER NOT NULL, -- of the fact that set it last
  at       INTEGER NOT NULL,
  fact     TEXT    NOT NULL
) STRICT;

CREATE TABLE applied (
  position INTEGER PRIMARY KEY,
  unit     TEXT    NOT NULL,
  at       INTEGER NOT NULL,
  fact     TEXT    NOT NULL,
  ended    INTEGER,         -- when it was taken back
  reverted TEXT             -- the fact that says so
) STRICT;

CREATE INDEX applied_unit ON applied (unit);
