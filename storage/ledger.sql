-- ledger.sqlite: what was sent to whom. The only place on disk that holds addresses, so never part of the archive.
-- Times are ISO 8601 in UTC.
CREATE TABLE installation (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE editions (
  number INTEGER PRIMARY KEY, -- the order in which they were cut
  edition_id TEXT NOT NULL UNIQUE,
  topic TEXT NOT NULL,
  day TEXT NOT NULL,
  from_seq INTEGER NOT NULL, -- exclusive
  to_seq INTEGER NOT NULL, -- inclusive
  created_at TEXT NOT NULL,
  paper_ids TEXT NOT NULL, -- JSON, ranked
  revision_keys TEXT NOT NULL, -- JSON
  total INTEGER NOT NULL,
  UNIQUE (topic, day)
) STRICT;
CREATE INDEX editions_of_topic ON editions (topic, number);

CREATE TRIGGER editions_never_change BEFORE UPDATE ON editions
BEGIN SELECT RAISE(ABORT, 'an edition never changes'); END;
CREATE TRIGGER editions_never_go BEFORE DELETE ON editions
BEGIN SELECT RAISE(ABORT, 'an edition is never deleted'); END;

CREATE TABLE deliveries (
  edition_id TEXT NOT NULL REFERENCES editions (edition_id),
  address TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'reserved', 'sent', 'skipped', 'failed')),
  message_id TEXT,
  contents TEXT NOT NULL DEFAULT '[]', -- JSON: paper ids and revision keys told in it, fixed by the first reservation
  more INTEGER NOT NULL DEFAULT 0, -- papers it only links to
  attempts INTEGER NOT NULL DEFAULT 0,
  reserved_at TEXT,
  confirmed_at TEXT,
  reason TEXT,
  PRIMARY KEY (edition_id, address),
  CHECK (state NOT IN ('reserved', 'sent') OR (message_id IS NOT NULL AND reserved_at IS NOT NULL)),
  CHECK ((state = 'sent') = (confirmed_at IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_open ON deliveries (edition_id) WHERE state IN ('due', 'reserved');

CREATE TRIGGER deliveries_end BEFORE UPDATE ON deliveries WHEN old.state NOT IN ('due', 'reserved')
BEGIN SELECT RAISE(ABORT, 'a finished delivery never changes'); END;

CREATE TABLE mailed ( -- the primary key is the promise: whatever topic brings it, an address is told once
  address TEXT NOT NULL,
  key TEXT NOT NULL, -- a paper id or a revision key
  edition_id TEXT NOT NULL REFERENCES editions (edition_id),
  PRIMARY KEY (address, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX mailed_by_key ON mailed (key);
