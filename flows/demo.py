"""`paperwire demo`: a week of real papers from a local replay server, through the whole pipeline, served at the end.

Its clock is the replay's own, so the same demo gives the same bytes, whenever and wherever it runs.
"""

from __future__ import annotations

import shutil
import threading
import time
from datetime import UTC, datetime
from datetime import time as time_of_day
from importlib.resources import files
from pathlib import Path

from flows import show
from flows.pipeline import PassReport, run_pass
from flows.replay import ReplayServer, load_demo_data
from flows.site_server import listen, serving, url_of
from storage.catalog import Catalog
from storage.errors import PaperwireError
from storage.settings import Settings, parse_settings
from storage.tables import sha256_of

_MORNING = time_of_day(6, 0)
_STATE = ("archive", "ledger", "outbox", "papers.duckdb", "publish.lock")


def run_demo(*, home: Path, once: bool, port: int) -> int:
    """Replay the demo's days into `home` and show where to look; serve until Ctrl-C unless `once`.

    Starts from nothing each time but keeps the site folder: files whose bytes stay the same are not written again.
    """
    started = time.monotonic()
    before = _bytes_of(home / "site")
    _forget(home)
    data = load_demo_data()
    with ReplayServer(data) as server:
        settings = demo_settings(server.base_url, home)
        show.console.print(f"[bold]Paperwire demo[/]: {len(data.days)} days of real papers, from {server.base_url}")
        for day in data.days:
            server.now = datetime.combine(day, _MORNING, tzinfo=UTC)
            _one_day(settings, server.now)
    after = _bytes_of(home / "site")
    differ = sum(before.get(name) != digest for name, digest in after.items())
    said = f"{len(after)} files in the site, {differ} of them changed" if differ else "no byte of the site changed"
    show.console.print(f"[green]done[/] in {time.monotonic() - started:.1f} s: {said}")
    if once:
        _where_to_look(settings, (home / "site" / "index.html").as_uri())
        return 0
    with (
        listen("127.0.0.1", port, hint="choose another with --port, or --port 0 for any") as listener,
        serving(home / "site", listener, settings=settings),
    ):
        _where_to_look(settings, url_of(listener))
        show.console.print("Ctrl-C ends it.")
        threading.Event().wait()
    return 0


def demo_settings(base_url: str, home: Path) -> Settings:
    """The demo's configuration with every source pointed at the replay server."""
    settings = parse_settings(files("flows").joinpath("demo.toml").read_text(encoding="utf-8"), home=home)
    sources = tuple(s.model_copy(update={"base_url": base_url}) for s in settings.source)
    return settings.model_copy(update={"source": sources})


def _forget(home: Path) -> None:
    """Remove what an earlier demo archived and sent; only in a folder that a demo made."""
    mark = home / ".paperwire-demo"
    if home.exists() and any(home.iterdir()) and not mark.exists():
        raise PaperwireError(f"{home} is not a demo's folder; choose an empty one with --home")
    home.mkdir(parents=True, exist_ok=True)
    mark.touch()
    for name in _STATE:
        path = home / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _bytes_of(site: Path) -> dict[str, bytes]:
    """The sha256 of each file of a site."""
    return {str(path.relative_to(site)): sha256_of(path) for path in sorted(site.rglob("*")) if path.is_file()}


def _one_day(settings: Settings, now: datetime) -> None:
    with show.pass_progress(quiet=False, total=len(settings.source)) as progress:
        report = run_pass(settings, now=now, on_page=progress.pages_done)
    show.console.print(_day_line(now, report))


def _day_line(now: datetime, report: PassReport) -> str:
    new, revised = sum(s.new for s in report.sources), sum(s.revised for s in report.sources)
    other = sum(s.other for s in report.sources)
    mails = sum(d.sent for d in report.deliveries)
    said = f"{new:3} new  {revised} revised  {other:2} cross-listed, trending, code …  {mails} mails"
    trouble = [f"{s.source}: {s.error}" for s in report.sources if s.error]
    return f"  {now:%a %d %b}  {said}" + "".join(f"\n    [red]{line}[/]" for line in trouble)


def _where_to_look(settings: Settings, address: str) -> None:
    with Catalog(settings.home) as catalog:
        papers = catalog.rows("SELECT count(*) AS n FROM papers")[0]["n"]
    folder = address.removesuffix("index.html")
    database, mails = _short(settings.home / "papers.duckdb"), sorted((settings.home / "outbox").glob("*.eml"))
    mail = f"{_short(mails[-1])} (and {len(mails) - 1} more)" if mails else "none"
    most = "SELECT title, upvotes FROM papers ORDER BY upvotes DESC NULLS LAST LIMIT 5"
    lines = (
        f"[bold]{papers} papers[/], one entry each. Where to look:\n",
        f"page        [cyan]{address}[/]",
        f"feeds       [cyan]{folder}feeds/{settings.topic[0].slug}.atom[/] (or .rss, .json)",
        f"            [cyan]{folder}feeds.opml[/] has them all",
        f"newsletter  [cyan]{mail}[/]",
        f'SQL         [cyan]duckdb -readonly {database} "{most}"[/]',
        f"            [cyan]PAPERWIRE_HOME={_short(settings.home)} .venv/bin/paperwire sql "
        '"SELECT topic, count(*) AS papers FROM paper_topics GROUP BY topic"[/]',
    )
    show.console.print("\n" + "\n".join(lines) + "\n", soft_wrap=True)


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
