-- papers.duckdb: the archive as tables for SQL. Times are UTC. docs/data.md describes every column.
-- `segments()` is replaced by the list of committed files, newest first.
CREATE VIEW _rows AS SELECT * FROM read_parquet(segments());

-- Where each paper stands, and what lists are sorted by: narrow and native, so that a list is found without reading text.
CREATE TABLE _heads AS
SELECT paper_id, seq, announced_at, coalesce(announced_on, announced_at::DATE) AS day, trending_on, upvotes
FROM _rows
QUALIFY row_number() OVER (PARTITION BY paper_id ORDER BY seq DESC) = 1;

-- The rows readers were told of after a paper was new.
CREATE TABLE _told AS
SELECT paper_id, seq, revised_at FROM _rows
WHERE list_has_any(announcements, ['revised', 'published', 'withdrawn', 'code-appeared']);

CREATE VIEW papers AS
SELECT paper_id, seq, title, abstract, authors, categories, categories[1] AS primary_category, sources, version, revision,
       url, pdf_url, code_url, project_url, doi, journal_ref, license_url, withdrawn,
       announced_on, published_at, first_seen_at, announced_at, revised_at, trending_on,
       upvotes, comment_count, stars, aliases, content_hash, hash_changes, text_rank
FROM _rows
WHERE (paper_id, seq) IN (SELECT (paper_id, seq) FROM _heads);

CREATE VIEW sightings AS
SELECT paper_id, seq, s.source, s.entry_id, s.seen_at, s.announced_on, s.announcements, s.version, s.categories,
       s.upvotes, s.comment_count, s.stars
FROM (SELECT paper_id, seq, unnest(sightings) AS s FROM _rows);

CREATE VIEW revisions AS
SELECT paper_id, seq, revision, version,
       announcements, changes, coalesce(revised_at, announced_at) AS told_at, title, abstract, authors, categories, doi, withdrawn
FROM _rows
WHERE len(announcements) > 0;

CREATE VIEW authors AS
SELECT paper_id, unnest(generate_series(1, len(authors))) AS position, unnest(authors) AS author
FROM papers;

CREATE VIEW votes AS
SELECT paper_id, seen_at, source, upvotes, comment_count, stars
FROM sightings WHERE upvotes IS NOT NULL OR comment_count IS NOT NULL OR stars IS NOT NULL;
