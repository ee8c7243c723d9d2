-- pushes.sqlite: what was pushed to whom: pings to the WebSub hub, messages to webhooks. Beside ledger.sqlite, and like
-- it no part of the archive. No secret is ever written here. Times are ISO 8601 in UTC.
CREATE TABLE feeds ( -- what a hub was told of each published feed; only the newest state of a feed is worth a ping
  hub TEXT NOT NULL,
  url TEXT NOT NULL,
  seen TEXT NOT NULL, -- size and time of the file when its content was last looked at
  wanted TEXT NOT NULL, -- hash of the content that the hub is to be told of
  pinged TEXT NOT NULL, -- hash of the content that it was told of; the same: nothing waits
  attempts INTEGER NOT NULL DEFAULT 0, -- reserved and not yet confirmed
  due_at TEXT, -- not before
  pinged_at TEXT,
  reason TEXT,
  PRIMARY KEY (hub, url)
) STRICT, WITHOUT ROWID;

CREATE TABLE webhooks ( -- how far each has been told
  name TEXT PRIMARY KEY,
  until_seq INTEGER NOT NULL, -- commits up to this one are in its messages
  cut_at TEXT NOT NULL, -- when that was so
  refused INTEGER NOT NULL DEFAULT 0, -- messages refused one after the other
  rests_until TEXT,
  sent_at TEXT,
  reason TEXT -- why the last attempt failed; NULL where it did not
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
  number INTEGER PRIMARY KEY, -- the order in which they were cut
  push_id TEXT NOT NULL UNIQUE, -- what a receiver tells a second copy by
  webhook TEXT NOT NULL REFERENCES webhooks (name),
  from_seq INTEGER NOT NULL, -- exclusive
  to_seq INTEGER NOT NULL, -- inclusive
  contents TEXT NOT NULL, -- JSON: paper ids and revision keys told in it, best first
  more INTEGER NOT NULL, -- papers it only links to
  created_at TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'reserved', 'sent', 'skipped', 'refused')),
  attempts INTEGER NOT NULL DEFAULT 0,
  due_at TEXT NOT NULL, -- not before
  confirmed_at TEXT,
  reason TEXT,
  CHECK (state = 'due' OR state = 'skipped' OR attempts > 0),
  CHECK ((state = 'sent') = (confirmed_at IS NOT NULL))
) STRICT;
-- One message of a webhook at a time: what comes while it waits goes into the next one.
CREATE UNIQUE INDEX messages_open ON messages (webhook) WHERE state IN ('due', 'reserved');

CREATE TRIGGER messages_end BEFORE UPDATE ON messages WHEN old.state NOT IN ('due', 'reserved')
BEGIN SELECT RAISE(ABORT, 'a finished message never changes'); END;
CREATE TRIGGER messages_are_frozen BEFORE UPDATE ON messages WHEN new.push_id <> old.push_id
  OR new.webhook <> old.webhook OR new.contents <> old.contents OR new.more <> old.more
BEGIN SELECT RAISE(ABORT, 'what a message tells never changes'); END;

CREATE TABLE told ( -- the primary key is the promise: a webhook is told of a paper once
  webhook TEXT NOT NULL,
  key TEXT NOT NULL, -- a paper id or a revision key
  number INTEGER NOT NULL REFERENCES messages (number),
  PRIMARY KEY (webhook, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE marks (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
