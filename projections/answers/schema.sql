-- Times are nanoseconds since 1970 in UTC. Positions are places in the log.

CREATE TABLE answers (
  id       TEXT    PRIMARY KEY, -- of the event that holds the answer
  position INTEGER NOT NULL UNIQUE,
  at       INTEGER NOT NULL,
  scope    TEXT    NOT NULL,
  exact    TEXT    NOT NULL,
  canon    TEXT    NOT NULL, -- '' when the question has no canonical key
  task     TEXT    NOT NULL,
  model    TEXT    NOT NULL,
  question TEXT    NOT NULL, -- redacted, for people
  answer   TEXT    NOT NULL,
  bytes    INTEGER NOT NULL, -- of the row, about
  cost     INTEGER NOT NULL, -- micro-USD it took to get
  uses     INTEGER NOT NULL,
  used     INTEGER NOT NULL  -- position of the last use, or its own
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX answers_exact ON answers (scope, exact);
CREATE INDEX answers_canon ON answers (scope, canon, position) WHERE canon <> '';
CREATE INDEX answers_used ON answers (used, id);
CREATE INDEX answers_at ON answers (at);

-- What there was altogether, and what is there now.
CREATE TABLE totals (
  id        INTEGER PRIMARY KEY CHECK (id = 1),
  bytes     INTEGER NOT NULL,
  given     INTEGER NOT NULL, -- answers taken in
  uses      INTEGER NOT NULL,
  saved     INTEGER NOT NULL, -- micro-USD that uses did not cost
  expired   INTEGER NOT NULL,
  evicted   INTEGER NOT NULL,
  replaced  INTEGER NOT NULL,
  forgotten INTEGER NOT NULL
) STRICT;
