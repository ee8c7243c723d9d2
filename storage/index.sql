-- The index beside the log: what is known, in a form that answers one question quickly.
-- keys, segments, files, stale, merged and the outbox can be rebuilt from the files, the rest is what only happened here.
-- storage/sums.py adds triggers that keep `sums`: without its function row_sum these tables can be read, not written.
CREATE TABLE IF NOT EXISTS keys (           -- where the newest row of each paper lies, by every id it is known by
  k INTEGER NOT NULL,                       -- 63 bits of the md5 of an alias, the row itself has the alias in full
  seq INTEGER NOT NULL,                     -- the segment that holds the row
  n INTEGER NOT NULL,                       -- how many papers of that segment carry the alias
  PRIMARY KEY (k, seq)
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS seen (           -- what each source said last, so that a repeat costs one look-up, a cache
  k INTEGER PRIMARY KEY,                    -- of source and entry id: 24 bits of the md5 of the beginning, 39 of all of it
  h INTEGER NOT NULL,                       -- 43 bits over all the source said, counts included, and 20 over this row
  day INTEGER NOT NULL                      -- when it was said first, in days since 1970
) STRICT;

CREATE TABLE IF NOT EXISTS segments (       -- every commit ever made
  seq INTEGER PRIMARY KEY,
  batch_id TEXT NOT NULL UNIQUE,
  source TEXT NOT NULL,
  papers INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  last_at TEXT NOT NULL,                    -- the last moment given to an announcement, ISO 8601 UTC
  committed_at TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS files (          -- what lies in archive/, and what its bytes were when it was committed
  name TEXT PRIMARY KEY,                    -- relative to archive/
  kind TEXT NOT NULL,                       -- log, papers, history, manifest, topics
  lo INTEGER NOT NULL,                      -- the first segment it stands for
  hi INTEGER NOT NULL,                      -- the last
  rows INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  footer BLOB NOT NULL,                     -- 16 bytes over the Parquet footer, which no page checksum covers
  retired_at TEXT                           -- when a larger file took its place, it stays a day for its readers
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS stale (          -- rows of live files that a later commit superseded
  paper_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  until_seq INTEGER NOT NULL,               -- the commit that superseded the row
  PRIMARY KEY (paper_id, seq)
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS merged (         -- papers found to be another one
  paper_id TEXT PRIMARY KEY,
  into_id TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS outbox (         -- events committed with their data, drained until acknowledged
  event_id INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at TEXT NOT NULL,
  acknowledged_at TEXT,
  UNIQUE (seq, kind)
) STRICT;

CREATE TABLE IF NOT EXISTS tags (           -- which paper belongs to which topic, and why, since the file of topics was written
  paper_id TEXT NOT NULL,
  topic TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (paper_id, topic)
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS retagged (       -- the papers of which that file tells no more
  paper_id TEXT PRIMARY KEY
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS topic_changes (  -- the newest segment that touched a topic's papers
  topic TEXT PRIMARY KEY,
  seq INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS fetches (        -- every exchange with a source
  fetch_id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  url TEXT NOT NULL,
  fetched_at TEXT NOT NULL,
  status INTEGER,                           -- NULL: no answer
  wire_bytes INTEGER NOT NULL,
  body_sha256 TEXT,
  etag TEXT,
  last_modified TEXT,
  listed INTEGER NOT NULL,                  -- entries the answer held
  error TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS fetches_by_url ON fetches (source, url, fetch_id);

CREATE TABLE IF NOT EXISTS source_states (  -- how each source stands
  source TEXT PRIMARY KEY,
  checked_at TEXT NOT NULL,
  succeeded_at TEXT,
  batch_on TEXT,                            -- the newest batch read, in the source's calendar
  error TEXT,
  failing_since TEXT,
  notes TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS batches (        -- what each source listed for each of its days (storage/coverage.py)
  source TEXT NOT NULL,
  day TEXT NOT NULL,                        -- in the source's calendar, of a source without lists the day of the read, UTC
  asked_at TEXT NOT NULL,
  read_at TEXT,
  grew_at TEXT,
  listed INTEGER NOT NULL,
  came INTEGER NOT NULL,
  repeated INTEGER NOT NULL,
  late INTEGER NOT NULL,
  elsewhere INTEGER NOT NULL,
  whole INTEGER NOT NULL,
  ids TEXT NOT NULL,
  lost TEXT NOT NULL,
  error TEXT NOT NULL,
  shown TEXT,
  PRIMARY KEY (source, day)
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS coverage (       -- what that says of each day, and since when
  source TEXT NOT NULL,
  day TEXT NOT NULL,
  state TEXT NOT NULL,                      -- complete, quiet, partial, stale, late, failed
  missing INTEGER NOT NULL,
  came INTEGER NOT NULL,
  low INTEGER,
  high INTEGER,
  late INTEGER NOT NULL,
  why TEXT NOT NULL,
  was TEXT,
  missed_at TEXT,
  healed_at TEXT,
  PRIMARY KEY (source, day)
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS rejects (        -- entries refused, each with its reason
  source TEXT NOT NULL,
  entry_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  rejected_at TEXT NOT NULL,
  PRIMARY KEY (source, entry_id, reason)
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS sums (           -- what the rows of each table add up to, so that one that changed is found
  name TEXT PRIMARY KEY,                    -- a table, or sqlite_schema for the tables and triggers themselves
  value INTEGER NOT NULL                    -- the sum of 62 bits over each row
) WITHOUT ROWID, STRICT;
