-- Times are Unix times in nanoseconds. Positions are positions in the log.

CREATE TABLE answers (
  id       TEXT    PRIMARY KEY, -- of the event that contains the answer
  position INTEGER NOT NULL UNIQUE,
  at       INTEGER NOT NULL,
  scope    TEXT    NOT NULL,
  exact    TEXT    NOT NULL,
  canon    TEXT    NOT NULL, -- '' if the question has no canonical key
  task     TEXT    NOT NULL,
  model    TEXT    NOT NULL,
  question TEXT    NOT NULL, -- redacted
  answer   TEXT    NOT NULL,
  bytes    INTEGER NOT NULL, -- estimated size of the row
  cost     INTEGER NOT NULL, -- micro-USD of the call
  uses     INTEGER NOT NULL,
  used     INTEGER NOT NULL  -- position of the last use, or of the answer
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX answers_exact ON answers (scope, exact);
CREATE INDEX answers_canon ON answers (scope, canon, position) WHERE canon <> '';
CREATE INDEX answers_used ON answers (used, id);
CREATE INDEX answers_at ON answers (at);

-- Counters since the log began. bytes is the current size.
CREATE TABLE totals (
  id        INTEGER PRIMARY KEY CHECK (id = 1),
  bytes     INTEGER NOT NULL,
  given     INTEGER NOT NULL, -- stored answers
  uses      INTEGER NOT NULL,
  saved     INTEGER NOT NULL, -- micro-USD saved by uses
  expired   INTEGER NOT NULL,
  evicted   INTEGER NOT NULL,
  replaced  INTEGER NOT NULL,
  forgotten INTEGER NOT NULL
) STRICT;
