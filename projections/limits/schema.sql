-- Times are Unix times in nanoseconds. Positions are positions in the log. Facts are stored
-- as JSON.

CREATE TABLE profiles (
  name     TEXT    PRIMARY KEY,
  position INTEGER NOT NULL, -- of the latest LimitProfileSet
  at       INTEGER NOT NULL,
  fact     TEXT    NOT NULL
) STRICT;

CREATE TABLE applied (
  position INTEGER PRIMARY KEY,
  unit     TEXT    NOT NULL,
  at       INTEGER NOT NULL,
  fact     TEXT    NOT NULL,
  ended    INTEGER,         -- time of the LimitsReverted
  reverted TEXT             -- the LimitsReverted
) STRICT;

CREATE INDEX applied_unit ON applied (unit);
