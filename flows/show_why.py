"""How an explanation looks: a tick or a cross for every term, in 80 columns, in a pipe, and as JSON."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from flows.show import counted, hang, print_json, say
from storage.why import ALL_OF, ANY_OF, NOT, Weighed

if TYPE_CHECKING:
    from flows.explaining import Explained, Why

_TICK, _CROSS = "[green]✓[/]", "[red]✗[/]"
_SLUG_WIDTH_MAX = 28


def why(found: Why, *, as_json: bool) -> None:
    """Explain a paper's topics, or what it says to each term of a query."""
    if as_json:
        print_json(_document(found))
        return
    hang(f"[bold cyan]{escape(found.paper.paper_id)}[/]  ", escape(found.paper.title))
    if found.asked:
        _say_asked(found, found.asked)
        return
    width = min(max((len(e.topic or "") for e in (*found.topics, *found.near)), default=0), _SLUG_WIDTH_MAX)
    for one in found.topics:
        hang(f"{_TICK} {escape((one.topic or '').ljust(width))}  ", escape(_brought(one.whole)) + _untold(found, one))
    if not found.topics:
        say("[dim]of no topic[/]")
    for one in found.near:
        term = one.whole.lacking[0]
        hang(f"{_CROSS} {escape((one.topic or '').ljust(width))}  ", f"nearly: {_lack(term)}")
    if found.others:
        say(
            f"[dim]{counted(found.others, 'topic')} it is far from; `paperwire why PAPER TOPIC` explains one of them[/]"
        )


def _document(found: Why) -> dict[str, Any]:
    paper = found.paper
    told = {"paper_id": paper.paper_id, "title": paper.title, "categories": paper.categories}
    if found.asked:
        return told | {"asked": _fields(found.asked)}
    near = [_fields(e) | {"lacks": e.whole.lacking[0].says} for e in found.near]
    return told | {"topics": [_fields(e) for e in found.topics], "near": near, "others": found.others}


def _fields(value: Any) -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in fields(value)}


def _say_asked(found: Why, asked: Explained) -> None:
    """The whole query, a line for each term."""
    named = f"{escape(asked.topic)}: " if asked.topic else ""
    hang(f"{_mark(asked.whole)} {named}", f"[bold]{escape(asked.query)}[/]{_untold(found, asked)}")
    tree = asked.whole
    for part in tree.parts if tree.says == ALL_OF else (tree,):
        _say_part(part, 1)


def _say_part(part: Weighed, depth: int) -> None:
    """A part and what is below it; of alternatives those that hold, or all on one line where none does."""
    indent = "  " * depth
    if part.says == NOT and not part.parts[0].parts:
        inner = part.parts[0]
        hang(f"{indent}{_mark(part)} not ", _term(inner))
    elif part.says == ANY_OF and not any(p.parts for p in part.parts):
        held = [p for p in part.parts if p.holds]
        for one in held:
            hang(f"{indent}{_mark(one)} ", _term(one))
        if not held:
            hang(f"{indent}{_mark(part)} ", escape(f"none of {', '.join(p.says for p in part.parts)}"))
    elif part.parts:
        say(f"{indent}{_mark(part)} {part.says}")
        for below in part.parts:
            _say_part(below, depth + 1)
    else:
        hang(f"{indent}{_mark(part)} ", _term(part))


def _mark(part: Weighed) -> str:
    return _TICK if part.holds else _CROSS


def _term(term: Weighed) -> str:
    return f"{escape(term.says)}{f'  [dim]{escape(term.found)}[/]' if term.found else ''}"


def _brought(whole: Weighed) -> str:
    """The terms that brought a paper to a topic; what is excluded brings nobody."""
    if whole.says == NOT:
        return ""
    if not whole.parts:
        return whole.says if ":" in whole.says or not whole.found else whole.found
    return "; ".join(filter(None, (_brought(part) for part in whole.parts if part.holds)))


def _lack(term: Weighed) -> str:
    """Which term keeps a paper away, and what the paper has instead."""
    if term.says == NOT:
        excluded = next((t for t in term.terms if t.holds), None)
        return f"kept away by {_term(excluded)}" if excluded else f"kept away by {escape(NOT)}"
    has = f" [dim](it has {escape(term.found)})[/]" if term.found else ""
    return f"lacks {escape(term.says)}{has}"


def _untold(found: Why, one: Explained) -> str:
    """Say why a paper that answers a topic's query does not have the topic."""
    if not one.topic or one.tagged == one.whole.holds:
        return ""
    if one.tagged:
        return " [yellow](it was so when the paper was tagged; the next pass tags anew)[/]"
    told = found.paper.announced_at or found.paper.revised_at or found.paper.trending_on
    return f" [yellow]({'the next pass tags it' if told else 'not tagged: readers were never told of it'})[/]"
