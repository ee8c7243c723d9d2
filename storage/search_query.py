"""What readers type into a search box → what the index is asked. The language is that of storage/query.py.

A box is more forgiving than a topic: titles may be pasted, colons and lone dashes are no syntax then, words that stand
in every paper are not asked for, authors count as text, and singular and plural are one. What only SQL can answer
(counts, days, sources, topics) is refused with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import tantivy
from tantivy import Occur

from storage.errors import QueryError
from storage.query import FIELDS, QUERY_CHARACTERS_MAX, parse_query
from storage.query_terms import And, Between, Day, Fact, InTopic, Like, Listed, Node, Not, Or, Words
from storage.search_text import BREAK, STOP_WORDS, names, plain_tex, words

SEARCHED = ("title", "abstract", "author", "category", "withdrawn")
PREFIX_CHARACTERS_MIN = 2
# Terms of the field `flag`: the one document that is no paper; withdrawn papers; those told of to readers as new.
MARK, WITHDRAWN, ANNOUNCED = "mark", "withdrawn", "announced"
EXACT = ("title_exact", "abstract_exact", "author_exact")  # words as `normal_text` spells them, each in its place
_TEXT, _NAMES = "paperwire-text", "paperwire-names"  # the analyzers

_QUOTED = re.compile('(["“”„][^"“”„]*["“”„])')
_LONE = re.compile(r"""(?<!\S)[^\w\s()"“”„]+(?!\S)""")
_LABEL = re.compile(r"(?<![^\s(\-])([A-Za-z_]+):(?=$|\s|//)")
_TEX_HINT = re.compile(r"[\\$^_{]")
_Term = tuple[int, str]  # a word and its place in the phrase
_Clause = tuple[Occur, tantivy.Query]


def _schema() -> tantivy.Schema:
    """Build the schema of the index. Text is indexed with places; only ids and packed rows are stored.

    `text` has the title twice, so that its words weigh more, the abstract and the authors; `outside` the words of title
    and authors that the abstract lacks: with them abstract: needs no third copy of the text. From `title_exact` on
    stands what storage/finding_query.py asks for (see storage/search_documents.py).
    """
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("paper_id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("text", tokenizer_name=_TEXT, index_option="position")
    builder.add_text_field("title", tokenizer_name=_TEXT, index_option="position")
    builder.add_text_field("author", tokenizer_name=_NAMES, index_option="position")
    builder.add_text_field("outside", tokenizer_name="whitespace", index_option="basic")
    builder.add_text_field("category", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("flag", tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("new_at", fast=True)
    builder.add_unsigned_field("seq", stored=True)
    for name in EXACT:
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="position")
    for name in ("category_exact", "source", "id"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in ("votes", "comments", "stars", "version", "day", "row_seq"):
        builder.add_integer_field(name, fast=True)
    builder.add_bytes_field("row", stored=True)
    return builder.build()


SCHEMA = _schema()


def register_analyzers(index: tantivy.Index) -> None:
    """Teach an opened index the analyzers of SCHEMA: text comes as words, and some only keep their place."""
    for name, stopped in ((_TEXT, [BREAK, *sorted(STOP_WORDS)]), (_NAMES, [BREAK])):
        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
        index.register_tokenizer(name, builder.filter(tantivy.Filter.custom_stopword(stopped)).build())


def index_query(text: str) -> tantivy.Query:
    """Return what `text` asks of the index. Raises QueryError."""
    text = text.encode("utf-8", "ignore").decode()
    if len(text) <= QUERY_CHARACTERS_MAX:
        text = _forgiven(text)
    found = _Asking(text).of(parse_query(text).root)
    if found is None:
        raise QueryError(text, 0, "only words that every paper has; add one to look for")
    return found


def term(field: str, value: str) -> tantivy.Query:
    """Return the query for one term as it is indexed."""
    return tantivy.Query.term_query(SCHEMA, field, value, "basic" if field in ("outside", "flag") else "freq")


def _forgiven(text: str) -> str:
    """Return `text` with what people paste read as words: TeX, `BERT: pre-training`, lone dashes."""
    if _TEX_HINT.search(text):
        text = plain_tex(text)
    parts = _QUOTED.split(text)
    parts[::2] = [_LONE.sub(_blank, _LABEL.sub(_unlabelled, part)) for part in parts[::2]]
    return "".join(parts)


def _unlabelled(found: re.Match[str]) -> str:
    """Take the colon for punctuation, unless the reader forgot the value of a field that can be searched."""
    name = found[1].lower()
    return found[0] if name in SEARCHED and name in FIELDS else f"{found[1]} "


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


class _Asking:
    """Translates the nodes of one query. None is a part that asks for nothing: words that every paper has."""

    def __init__(self, text: str) -> None:
        self.text = text

    def of(self, node: Node) -> tantivy.Query | None:
        match node:
            case Words() | Listed(field="author"):
                # A plural that is the same word here need not be asked for twice.
                needles = {(*words(needle), needle[-1]): needle for needle in reversed(node.needles)}
                return _any(self._words(node, needle) for needle in needles.values())
            case Listed(field="category"):
                return _any(map(_category, node.needles))
            case Fact(field="withdrawn"):
                flag = term("flag", WITHDRAWN)
                return flag if node.wanted else _all([(Occur.MustNot, flag)])
            case Or():
                return _any(map(self.of, node.parts))
            case Not():
                return self._and((node,))
            case And():
                return self._and(node.parts)
        field = node.label.split(":")[0]
        reason = f"{field}: works in topics and SQL, not in search (which has {', '.join(f'{f}:' for f in SEARCHED)})"
        raise self._error(node, reason)

    def _error(self, node: Words | Listed | InTopic | Between | Fact | Day | Like, reason: str) -> QueryError:
        at = re.search(rf"(?<!\w){re.escape(node.label)}", self.text)
        return QueryError(self.text, at.start() if at else 0, reason)

    def _and(self, parts: Iterable[Node]) -> tantivy.Query | None:
        clauses: list[_Clause] = []
        for part in parts:
            inner = part.part if isinstance(part, Not) else part
            asked = self.of(inner)
            if asked is not None:
                clauses.append((Occur.MustNot if isinstance(part, Not) else Occur.Must, asked))
        return _all(clauses)

    def _words(self, node: Words | Listed, needle: str) -> tantivy.Query | None:
        prefix = not needle.endswith(" ")
        if prefix and len(needle.split()[-1]) < PREFIX_CHARACTERS_MIN:
            raise self._error(node, f"at least {PREFIX_CHARACTERS_MIN} letters must stand before a *")
        if isinstance(node, Listed):
            return _phrase("author", _terms("author", needle, prefix=prefix), prefix=prefix)
        if node.fields == ("abstract",):
            return _in_abstract(_terms("text", needle, prefix=prefix), prefix=prefix)
        field = "title" if node.fields == ("title",) else "text"
        return _phrase(field, _terms(field, needle, prefix=prefix), prefix=prefix)


def _terms(field: str, needle: str, *, prefix: bool) -> list[_Term]:
    """Return the words to look for with their places; the last of a prefix is as the reader wrote it."""
    plain = names(needle)
    spelled = plain if field == "author" else words(needle)
    if prefix:
        spelled = [*spelled[:-1], plain[-1]]
    stopped = () if field == "author" else STOP_WORDS
    last = len(plain) - 1
    return [(at, word) for at, word in enumerate(spelled) if word not in stopped or (prefix and at == last)]


def _phrase(field: str, terms: list[_Term], *, prefix: bool = False) -> tantivy.Query | None:
    """Ask for the words in their places; the last may go on where it is a prefix."""
    if not terms:
        return None
    if not prefix:
        if len(terms) == 1:
            return term(field, terms[0][1])
        return tantivy.Query.phrase_query(SCHEMA, field, [*terms])
    *before, (at, stem) = terms
    # The singular may be shorter than what the reader wrote: analysis* is analysi in the index.
    pattern = f"(?:{stem}.*|{words(stem)[0]})" if field != "author" else f"{stem}.*"
    if not before:
        return tantivy.Query.regex_query(SCHEMA, field, pattern)
    return tantivy.Query.regex_phrase_query(SCHEMA, field, [*before, (at, pattern)])


def _in_abstract(terms: list[_Term], *, prefix: bool) -> tantivy.Query | None:
    """Ask for papers whose text has the words and whose abstract lacks none of them.

    So the phrase of a title counts where its abstract has the words elsewhere, and a prefix may stand in the title.
    """
    text = _phrase("text", terms, prefix=prefix)
    if text is None:
        return None
    whole = terms[:-1] if prefix else terms
    return _all([(Occur.Must, text), *((Occur.MustNot, term("outside", word)) for _, word in whole)])


def _category(needle: str) -> tantivy.Query:
    """Look for `|cs.cl|` and `|cs|` as they are, for `|cs.` as the archive, for another beginning among all."""
    name = needle.strip("|")
    if needle.endswith("|") or name.endswith("."):
        return term("category", name)
    return tantivy.Query.regex_query(SCHEMA, "category", re.sub(r"([^\w ])", r"\\\1", name) + ".*")


def _any(parts: Iterable[tantivy.Query | None]) -> tantivy.Query | None:
    asked = [part for part in parts if part is not None]
    return _joined([(Occur.Should, part) for part in asked]) if asked else None


def _all(clauses: list[_Clause]) -> tantivy.Query | None:
    """Join clauses of which all must hold; where all only exclude, from all papers."""
    if not clauses:
        return None
    if all(occur == Occur.MustNot for occur, _ in clauses):
        clauses = [(Occur.Must, tantivy.Query.all_query()), *clauses, (Occur.MustNot, term("flag", MARK))]
    return _joined(clauses)


def _joined(clauses: list[_Clause]) -> tantivy.Query:
    if len(clauses) == 1 and clauses[0][0] != Occur.MustNot:
        return clauses[0][1]
    return tantivy.Query.boolean_query(clauses)
