-- Which entry stands in which feed, and since when. Derived from the archive and remade at will.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE feeds (
  feed INTEGER PRIMARY KEY,
  stem TEXT NOT NULL UNIQUE,              -- the path of its files, without the extension
  kind TEXT NOT NULL,                     -- all, topic, category, source
  key TEXT NOT NULL,                      -- the slug, code or name
  archived_at INTEGER NOT NULL DEFAULT 0  -- the newest entry that has left the window, as it was last published
);
CREATE TABLE papers (paper INTEGER PRIMARY KEY, paper_id TEXT NOT NULL UNIQUE);
CREATE TABLE listings (
  paper INTEGER NOT NULL,
  feed INTEGER NOT NULL,
  entry TEXT NOT NULL,                    -- '' for the paper itself, else which of its revisions: revised/v2
  listed_at INTEGER NOT NULL,             -- microseconds since 1970, UTC
  seq INTEGER NOT NULL,                   -- the commit that a revision is of; 0 for the paper itself
  PRIMARY KEY (paper, feed, entry)
) WITHOUT ROWID;
CREATE INDEX listings_by_time ON listings (feed, listed_at, paper, entry, seq);
