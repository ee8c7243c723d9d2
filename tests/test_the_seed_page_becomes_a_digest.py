"""A page of titles and abstracts, no ids and no authors, goes through the archive and comes out as one good digest."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from pathlib import Path

from flows.decide import decide
from flows.pipeline import newsletter, publish
from storage.archive import Archive
from storage.catalog import Catalog, refresh_catalog
from storage.settings import parse_settings
from storage.topics import shipped_topics
from tests.seed_page import seed_entries

NOW = datetime(2026, 3, 13, 6, 0, tzinfo=UTC)
CONFIG = """
[[topic]]
slug = "seed"
title = "The seed page"
query = "source:seed-page"
[mail]
papers_max = 100
"""


def test_89_papers_become_one_digest(shared_data: Path, tmp_path: Path) -> None:
    entries = seed_entries((shared_data / "seed_page.txt").read_text(encoding="utf-8"))
    settings = parse_settings(CONFIG, home=tmp_path)
    with Archive(tmp_path) as archive:
        commit = archive.append(entries, source="seed-page", batch_id="seed", now=NOW, decide=decide)
        refresh_catalog(archive, settings, shipped_topics(), now=NOW)
        assert commit.papers == len(entries) == 89
        with Catalog(tmp_path) as catalog:
            themes = catalog.rows("SELECT count(DISTINCT paper_id) AS n FROM paper_topics")
        assert themes == [{"n": 89}], "each has a topic a reader would give it"
    assert publish(settings, now=NOW).papers == 89
    (report,) = newsletter(settings, now=NOW)
    assert report.sent == 1
    (path,) = (tmp_path / "outbox").glob("*.eml")
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.SMTP)
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "89 new papers" in message["Subject"]
    markup = html.get_content()
    assert len(markup.encode()) <= 80_000
    shown = sum(" ".join(e.title.split()[:3]) in " ".join(text.get_content().split()) for e in entries)
    assert shown >= 25
    assert shown == 89 or f"{89 - shown} more" in text.get_content()


def test_read_again_it_is_nothing_new(shared_data: Path, tmp_path: Path) -> None:
    entries = seed_entries((shared_data / "seed_page.txt").read_text(encoding="utf-8"))
    with Archive(tmp_path) as archive:
        archive.append(entries, source="seed-page", batch_id="one", now=NOW, decide=decide)
        again = archive.append(entries[::-1], source="seed-page", batch_id="two", now=NOW, decide=decide)
        assert again.papers == 0
        assert archive.index.papers_count() == 89
