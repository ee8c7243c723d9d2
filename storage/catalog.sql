-- papers.duckdb: the archive as tables for SQL. _meta has its newest commit, the time of it, the first of the commits
-- of the last weeks, and the profiles that topics with like: go by (storage/likes.py). Times are UTC. docs/data.md describes every column.
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
       upvotes, comment_count, stars, citations, versions, aliases, content_hash, hash_changes, text_rank
FROM _current WHERE merged_into IS NULL;

CREATE VIEW sightings AS
SELECT paper_id, seq, s.source, s.entry_id, s.seen_at, s.announced_on, s.announcements, s.version, s.categories,
       s.upvotes, s.comment_count, s.stars, s.citations
FROM (SELECT paper_id, seq, unnest(sightings) AS s FROM _rows);

CREATE VIEW revisions AS
SELECT paper_id, seq, revision, version,
       announcements, changes, coalesce(revised_at, announced_at) AS told_at, title, abstract, authors, categories, doi,
       journal_ref, withdrawn
FROM _rows
WHERE len(announcements) > 0;

CREATE VIEW changes AS
SELECT paper_id, seq, told_at, c.field AS field, c.before AS before, c.after AS after
FROM (
  SELECT paper_id, seq, told_at, unnest([
    {'is_so': coalesce(version, 1) <> coalesce(was.version, 1), 'field': 'version',
     'before': was.version::VARCHAR, 'after': version::VARCHAR},
    {'is_so': title <> was.title
              AND trim(regexp_replace(title, '[\s\pZ]+', ' ', 'g'))
              <> trim(regexp_replace(was.title, '[\s\pZ]+', ' ', 'g')),
     'field': 'title', 'before': was.title, 'after': title},
    {'is_so': abstract <> was.abstract
              AND trim(regexp_replace(abstract, '[\s\pZ]+', ' ', 'g'))
              <> trim(regexp_replace(was.abstract, '[\s\pZ]+', ' ', 'g')),
     'field': 'abstract', 'before': was.abstract, 'after': abstract},
    {'is_so': authors <> was.authors, 'field': 'authors',
     'before': array_to_string(was.authors, '; '), 'after': array_to_string(authors, '; ')},
    {'is_so': categories <> was.categories, 'field': 'categories',
     'before': array_to_string(was.categories, ' '), 'after': array_to_string(categories, ' ')},
    {'is_so': doi IS DISTINCT FROM was.doi, 'field': 'doi', 'before': was.doi, 'after': doi},
    {'is_so': journal_ref IS DISTINCT FROM was.journal_ref, 'field': 'journal_ref',
     'before': was.journal_ref, 'after': journal_ref},
    {'is_so': withdrawn <> was.withdrawn, 'field': 'withdrawn',
     'before': was.withdrawn::VARCHAR, 'after': withdrawn::VARCHAR},
    {'is_so': code_url IS DISTINCT FROM was.code_url, 'field': 'code', 'before': was.code_url, 'after': code_url},
    {'is_so': merged_into IS DISTINCT FROM was.merged_into, 'field': 'merged_into',
     'before': was.merged_into, 'after': merged_into}
  ]) AS c
  FROM (
    SELECT *,
      CASE WHEN list_contains(announcements, 'new') THEN announced_at
           WHEN list_has_any(announcements, ['revised', 'published', 'withdrawn', 'code-appeared']) THEN revised_at
           WHEN len(announcements) > 0 THEN sightings[1].seen_at END AS told_at,
      lag({'version': version, 'title': title, 'abstract': abstract, 'authors': authors, 'categories': categories,
           'doi': doi, 'journal_ref': journal_ref, 'withdrawn': withdrawn, 'code_url': code_url,
           'merged_into': merged_into}) OVER (PARTITION BY paper_id ORDER BY seq) AS was
    FROM _rows
  )
  WHERE was IS NOT NULL
)
WHERE c.is_so;

CREATE VIEW authors AS
SELECT paper_id, unnest(generate_series(1, len(authors))) AS position, unnest(authors) AS author
FROM papers;

CREATE VIEW votes AS
SELECT paper_id, seen_at, source, upvotes, comment_count, stars, citations
FROM sightings
WHERE upvotes IS NOT NULL OR comment_count IS NOT NULL OR stars IS NOT NULL OR citations IS NOT NULL;

CREATE VIEW versions AS
SELECT paper_id, v.version AS version, v.submitted_at AS submitted_at, v.size_bytes AS size_bytes
FROM (SELECT paper_id, unnest(versions) AS v FROM papers);

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

CREATE VIEW coverage AS
SELECT source, day, state, missing, came, low, high, late, why, was, missed_at, healed_at FROM _coverage;
