"""Reads the page this project began from: titles and abstracts with page furniture around them → entries."""

from __future__ import annotations

import re
from itertools import pairwise

from storage.model import Entry

SOURCE = "seed-page"
# No title on the page has more characters than this, and no abstract or furniture around a title has fewer and more.
ABSTRACT_CHARACTERS_MIN = 400


def seed_entries(text: str) -> tuple[Entry, ...]:
    """Return one entry per paper of the page: each abstract with the paragraph above it as its title.

    Buttons, dates and by-lines are short and are followed by something short, so they pair with no abstract. The
    page gives no ids: an entry's own id is its place on the page, "1" first.
    """
    paragraphs = [paragraph.strip() for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]
    pairs = [(title, abstract) for title, abstract in pairwise(paragraphs) if _is_abstract(abstract)]
    return tuple(
        Entry(source=SOURCE, entry_id=str(place), title=title, abstract=abstract, text_rank=0)
        for place, (title, abstract) in enumerate(pairs, 1)
    )


def _is_abstract(paragraph: str) -> bool:
    return len(paragraph) >= ABSTRACT_CHARACTERS_MIN
