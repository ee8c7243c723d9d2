"""Which papers of one table are the same works as papers of another: in bulk, in DuckDB and rapidfuzz.

Candidates share an id or a title; what finds no partner there, names of authors or rare words of the title. What is
plainly one work or plainly two is decided on whole columns; the rest goes through `likeness.judge`, the one place that
knows the rules. Each paper keeps its best partner alone, and only where the choice is mutual.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rapidfuzz import fuzz, process

from storage.likeness import Work, judge
from storage.titles import title_keys

COLUMNS = ("title", "abstract", "authors", "aliases")
_CARRIERS_MAX = 20  # papers of one side that share a title, a name or a word; if more do, sharing it says nothing
_HEAD_CHARACTERS = 300
_ABSTRACT_RATIO_MIN = 60.0  # characters in common; below it no abstract is nearly the other (likeness.ONE_TEXT)
_CHUNK_PAIRS = 20_000
_PAIRS = pa.schema([("left", pa.int64()), ("right", pa.int64()), ("score", pa.float64()), ("reason", pa.string())])

_PAPERS = f"""
CREATE TABLE papers AS
WITH given AS (
    SELECT * REPLACE (coalesce(aliases, []) AS aliases) FROM (
        SELECT 0 AS side, * FROM left_given UNION ALL SELECT 1, * FROM right_given
    )
)
SELECT side, row, key, title, coalesce(authors, []) AS authors,
    [a FOR a IN aliases IF a[:6] = 'arxiv:'] AS arxiv,
    [a FOR a IN aliases IF a[:4] = 'doi:'] AS doi,
    [a FOR a IN aliases IF a[:11] = 'openreview:' OR a[:5] = 'pmid:'] AS others,
    list_sort([lower(a) FOR a IN coalesce(authors, [])]) AS names,
    regexp_replace(lower(coalesce(abstract, '')[:{_HEAD_CHARACTERS}]), '[^a-z0-9]+', '', 'g') AS head
FROM given
"""
# The order is that of identity.contradiction and likeness.judge: '' two works, NULL to be judged, else why it is one.
_NAMED_ALIKE = f"""
WITH ids AS (SELECT side, row, unnest(arxiv || doi || others) AS id FROM papers),
titles AS (SELECT key FROM papers WHERE key IS NOT NULL GROUP BY key HAVING max(side) > min(side)
    AND count(*) FILTER (side = 0) <= {_CARRIERS_MAX} AND count(*) FILTER (side = 1) <= {_CARRIERS_MAX}),
candidates AS (
    SELECT l.row AS lrow, r.row AS rrow FROM ids l JOIN ids r ON r.id = l.id AND r.side = 1 WHERE l.side = 0
    UNION
    SELECT l.row, r.row FROM titles JOIN papers l ON l.key = titles.key AND l.side = 0
    JOIN papers r ON r.key = titles.key AND r.side = 1
)
SELECT lrow AS "left", rrow AS "right",
    CASE WHEN list_has_any(l.arxiv, r.arxiv) THEN 'both are ' || list_sort(list_intersect(l.arxiv, r.arxiv))[1]
         WHEN len(l.arxiv) > 0 AND len(r.arxiv) > 0 THEN ''
         WHEN list_has_any(l.doi, r.doi) THEN 'both are ' || list_sort(list_intersect(l.doi, r.doi))[1]
         WHEN len(l.doi || l.others) > 0 AND len(r.doi || r.others) > 0 THEN NULL
         WHEN l.key = r.key AND l.names = r.names AND len(l.names[1]) > 6
              AND l.head = r.head AND len(l.head) > {_HEAD_CHARACTERS // 2}
         THEN format('equal title, {{0}} of {{0}} authors, equal abstracts', len(l.names)) END AS reason
FROM candidates c JOIN papers l ON l.side = 0 AND l.row = c.lrow JOIN papers r ON r.side = 1 AND r.row = c.rrow
"""
_LONELY = """
CREATE TABLE lonely AS
WITH alone AS (
    SELECT side, row, title, len(arxiv) > 0 AS named, [
        string_split(trim(regexp_replace(strip_accents(lower(a)), '[^a-z]+', ' ', 'g')), ' ') FOR a IN authors
    ] AS split
    FROM papers
    WHERE CASE side WHEN 0 THEN row NOT IN (SELECT "left" FROM matched) ELSE row NOT IN (SELECT "right" FROM matched)
        END AND (len(arxiv) = 0 OR side IN (SELECT 1 - side FROM papers WHERE len(arxiv) = 0))
)
SELECT *, list_distinct([w FOR w IN flatten(split) IF len(w) > 1]) AS words FROM alone
"""
# Whole names with their words sorted, single words of names, words of titles: those that few papers carry.
_NEAR = f"""
WITH told AS (
    SELECT side, row, 'n ' || unnest([array_to_string(list_sort(s), ' ') FOR s IN split]) AS word FROM lonely
    UNION
    SELECT side, row, 'n ' || unnest(words) FROM lonely
    UNION
    SELECT side, row, 't ' || unnest(string_split_regex(strip_accents(lower(title)), '[^a-z0-9]+')) FROM lonely
),
rare AS (SELECT word FROM told GROUP BY word HAVING max(side) > min(side)
    AND count(*) FILTER (side = 0) <= {_CARRIERS_MAX} AND count(*) FILTER (side = 1) <= {_CARRIERS_MAX}),
candidates AS (
    SELECT l.row AS lrow, r.row AS rrow
    FROM rare JOIN told l ON l.word = rare.word AND l.side = 0 JOIN told r ON r.word = rare.word AND r.side = 1
    GROUP BY ALL HAVING bool_or(rare.word[:1] = 'n') OR count(*) > 1
)
SELECT lrow AS "left", rrow AS "right"
FROM candidates c JOIN lonely l ON l.side = 0 AND l.row = c.lrow JOIN lonely r ON r.side = 1 AND r.row = c.rrow
WHERE len(list_intersect(l.words, r.words)) >= 0.6 * least(len(l.words), len(r.words))
    AND len(l.words) > 0 AND len(r.words) > 0 AND NOT (l.named AND r.named)
"""
# A paper that two fit equally well is matched to neither, unless by an id: then to the first.
_BEST = """
WITH ranked AS (
    SELECT *, max(score) OVER l AS best_of_left, max(score) OVER r AS best_of_right FROM pairs
    WINDOW l AS (PARTITION BY "left"), r AS (PARTITION BY "right")
),
mutual AS (
    SELECT *, count(*) OVER (PARTITION BY "left") + count(*) OVER (PARTITION BY "right") AS choices,
        row_number() OVER (PARTITION BY "left" ORDER BY "right")
            + row_number() OVER (PARTITION BY "right" ORDER BY "left") AS place
    FROM ranked WHERE score = best_of_left AND score = best_of_right
)
SELECT "left", "right", score, reason FROM mutual WHERE choices = 2 OR (score = 1 AND place = 2) ORDER BY "left"
"""


def match(left: pa.Table, right: pa.Table) -> pa.Table:
    """Return which rows of `left` and `right` are one work: (left, right, score, reason), in the order of left.

    Both tables have `title`, `abstract`, `authors` and `aliases`, as papers have them. A row stands in at most one
    pair. Scores: 1 by an id, from 0.8 by an equal title, from 0.5 under different titles.
    """
    with duckdb.connect(config={"python_enable_replacements": "false"}) as connection:
        for name, table in (("left_given", left), ("right_given", right)):
            rows, keys = pa.array(range(len(table)), pa.int64()), pa.array(title_keys(table["title"]), pa.string())
            connection.register(name, table.select(COLUMNS).append_column("key", keys).append_column("row", rows))
        connection.execute(_PAPERS)
        found = [_decided(left, right, connection.sql(_NAMED_ALIKE).to_arrow_table())]
        connection.register("matched", found[0])
        connection.execute(_LONELY)
        near = _alike_abstracts(left, right, connection.sql(_NEAR).to_arrow_table())
        found.append(_judged(left, right, near))
        connection.register("pairs", pa.concat_tables(found))
        return connection.sql(_BEST).to_arrow_table().cast(_PAIRS)


def _decided(left: pa.Table, right: pa.Table, pairs: pa.Table) -> pa.Table:
    """Return the pairs that are one work: those with a reason, and of those without what `judge` says."""
    open_ = pc.is_null(pairs["reason"])
    sure = pairs.filter(pc.and_kleene(pc.invert(open_), pc.not_equal(pairs["reason"], "")))
    by_id = pc.starts_with(sure["reason"], "both are ")
    sure = sure.append_column("score", pc.if_else(by_id, 1.0, 0.99)).select(_PAIRS.names).cast(_PAIRS)
    return pa.concat_tables([sure, _judged(left, right, pairs.filter(open_))])


def _alike_abstracts(left: pa.Table, right: pa.Table, pairs: pa.Table) -> pa.Table:
    """Keep the pairs whose abstracts have most of their characters in common."""
    kept = [pairs.slice(0, 0)]
    for start in range(0, len(pairs), _CHUNK_PAIRS):
        chunk = pairs.slice(start, _CHUNK_PAIRS)
        sides = (table["abstract"].take(chunk[side]) for table, side in ((left, "left"), (right, "right")))
        texts = [pc.fill_null(abstracts, "").to_pylist() for abstracts in sides]
        ratios = process.cpdist(*texts, scorer=fuzz.ratio, score_cutoff=_ABSTRACT_RATIO_MIN, dtype=np.float32)
        kept.append(chunk.filter(pa.array(ratios > 0)))
    return pa.concat_tables(kept)


def _judged(left: pa.Table, right: pa.Table, pairs: pa.Table) -> pa.Table:
    """Judge pair by pair: few are left for this."""
    found: list[tuple[int, int, float, str]] = []
    for start in range(0, len(pairs), _CHUNK_PAIRS):
        chunk = pairs.slice(start, _CHUNK_PAIRS)
        works = _works(left.take(chunk["left"])), _works(right.take(chunk["right"]))
        places = zip(chunk["left"].to_pylist(), chunk["right"].to_pylist(), strict=True)
        for (ours, theirs), one, other in zip(places, *works, strict=True):
            if verdict := judge(one, other):
                found.append((ours, theirs, verdict.score, verdict.reason))
    columns = zip(*found, strict=True) if found else ((), (), (), ())
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, _PAIRS, strict=True)], schema=_PAIRS)


def _works(table: pa.Table) -> list[Work]:
    columns = (table[name].to_pylist() for name in COLUMNS)
    return [
        Work(title=title or "", abstract=abstract or "", authors=tuple(authors or ()), aliases=tuple(aliases or ()))
        for title, abstract, authors, aliases in zip(*columns, strict=True)
    ]
