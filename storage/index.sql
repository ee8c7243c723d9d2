-- The index beside the log: what is known, in a form that answers one question quickly.
-- papers, aliases, seen, segments and tags can be rebuilt from the log; the rest is what only happened here.
CREATE TABLE IF NOT EXISTS heads (          -- where each paper stands now
  paper_id TEXT PRIMARY KEY,
  seq INTEGER NOT NULL                      -- the segment that holds its newest row
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS aliases (        -- every id a paper is known by
  alias TEXT PRIMARY KEY,
  paper_id TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS seen (           -- what each source said last, so that a repeat costs one look-up
  paper_id TEXT NOT NULL,
  source TEXT NOT NULL,
  entry_id TEXT NOT NULL,
  entry_hash BLOB NOT NULL,
  counts TEXT NOT NULL,                     -- votes, comments, stars
  PRIMARY KEY (paper_id, source, entry_id)
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS segments (
  seq INTEGER PRIMARY KEY,
  batch_id TEXT NOT NULL UNIQUE,
  source TEXT NOT NULL,
  papers INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  last_at TEXT NOT NULL,                    -- the last moment given to an announcement, ISO 8601 UTC
  committed_at TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS outbox (         -- events committed with their data, drained until acknowledged
  event_id INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at TEXT NOT NULL,
  acknowledged_at TEXT,
  UNIQUE (seq, kind)
) STRICT;

CREATE TABLE IF NOT EXISTS tags (           -- which paper belongs to which topic, and why
  paper_id TEXT NOT NULL,
  topic TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (paper_id, topic)
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

CREATE TABLE IF NOT EXISTS gaps (           -- batches that were announced and never read
  source TEXT NOT NULL,
  day TEXT NOT NULL,
  noticed_at TEXT NOT NULL,
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
