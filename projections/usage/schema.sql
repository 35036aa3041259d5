-- Times are Unix times in nanoseconds, costs micro-USD, latencies milliseconds.
CREATE TABLE calls (
  position INTEGER NOT NULL, -- of the fact
  n        INTEGER NOT NULL, -- of the call within it
  at       INTEGER NOT NULL,
  day      TEXT    NOT NULL, -- in UTC, such as 2026-11-23
  task     TEXT    NOT NULL,
  provider TEXT    NOT NULL, -- cache if the answer was cached
  model    TEXT    NOT NULL,
  class    TEXT    NOT NULL, -- of the failure; '' for an answer
  input    INTEGER NOT NULL, -- tokens
  output   INTEGER NOT NULL,
  cost     INTEGER NOT NULL,
  priced   INTEGER NOT NULL,
  latency  INTEGER NOT NULL,
  PRIMARY KEY (position, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_by_time ON calls (at);
