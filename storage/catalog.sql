-- papers.duckdb: the archive as tables for SQL. Times are UTC. docs/data.md describes every column.
-- live() and history() are replaced by the lists of files, newest first; current() and past() by what was true at a
-- commit where one is asked for.
CREATE VIEW _live AS SELECT * FROM read_parquet(live());

CREATE VIEW _history AS SELECT * FROM read_parquet(history());

CREATE VIEW _rows AS SELECT * FROM _live UNION ALL SELECT * FROM _history;

CREATE VIEW _current AS current();

CREATE VIEW papers AS
SELECT paper_id, seq, title, abstract, authors, categories, categories[1] AS primary_category, sources, version, revision,
       url, pdf_url, code_url, project_url, doi, journal_ref, license_url, withdrawn, new_at,
       announced_on, published_at, first_seen_at, announced_at, revised_at, trending_on,
       upvotes, comment_count, stars, aliases, content_hash, hash_changes, text_rank
FROM _current WHERE merged_into IS NULL;

CREATE VIEW sightings AS
SELECT paper_id, seq, s.source, s.entry_id, s.seen_at, s.announced_on, s.announcements, s.version, s.categories,
       s.upvotes, s.comment_count, s.stars
FROM (SELECT paper_id, seq, unnest(sightings) AS s FROM _rows);

CREATE VIEW revisions AS
SELECT paper_id, seq, revision, version,
       announcements, changes, coalesce(revised_at, announced_at) AS told_at, title, abstract, authors, categories, doi,
       journal_ref, withdrawn
FROM _rows
WHERE len(announcements) > 0;

CREATE VIEW authors AS
SELECT paper_id, unnest(generate_series(1, len(authors))) AS position, unnest(authors) AS author
FROM papers;

CREATE VIEW votes AS
SELECT paper_id, seen_at, source, upvotes, comment_count, stars
FROM sightings WHERE upvotes IS NOT NULL OR comment_count IS NOT NULL OR stars IS NOT NULL;

CREATE VIEW aliases AS
SELECT unnest(aliases) AS alias, paper_id FROM papers;

CREATE VIEW merges AS
SELECT paper_id, merged_into, seq, reason, changes[1] = 'split' AS undone FROM _rows
WHERE list_contains(changes, 'split') OR merged_into IS NOT NULL;

CREATE VIEW paper_topics AS
SELECT paper_id, topic, reason FROM _topics
UNION ALL
SELECT paper_id, topic, reason FROM read_parquet(topics()) WHERE paper_id NOT IN (SELECT paper_id FROM _retagged);

CREATE VIEW sources AS
SELECT coalesce(c.source, s.source) AS source, c.kind, c.category, c.url,
       coalesce(s.sightings, 0) AS sightings, coalesce(s.papers, 0) AS papers, s.first_seen_at, s.last_seen_at
FROM _sources c FULL JOIN (
  SELECT source, count(*) AS sightings, count(DISTINCT paper_id) AS papers,
         min(seen_at) AS first_seen_at, max(seen_at) AS last_seen_at
  FROM sightings GROUP BY source
) s ON c.source = s.source;
