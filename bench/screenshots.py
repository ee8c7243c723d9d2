"""Take pictures of pages as readers see them: 360 and 1280 px wide, light and dark, in headless Chromium.

    python -m bench.screenshots OUT [PAGE…] [--home HOME]

PAGE is an HTML file or an http(s) URL. Of HOME, such as the demo's, it serves the site, live pages too, and takes one
page of each kind. Prints a table: height and overflow in px, layout shift, bytes of the page.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from flows.demo import demo_settings
from flows.site_server import listen, serving, url_of

WIDTHS = (360, 1280)
SCHEMES = ("light", "dark")
_HEIGHT = 900
_SHIFT = """() => new Promise(done => {
  let total = 0;
  new PerformanceObserver(list => { for (const e of list.getEntries()) total += e.value; })
    .observe({type: 'layout-shift', buffered: true});
  requestAnimationFrame(() => requestAnimationFrame(() => done(total)));
})"""


def chromium() -> str | None:
    """Return the Chromium to drive: $PAPERWIRE_CHROMIUM, else the first one on PATH, else None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("PAPERWIRE_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def shoot(browser: Browser, url: str, out: Path, *, viewport_only: bool) -> Iterator[tuple[str, ...]]:
    """Save one picture of `url` per width and scheme; yields the table's rows."""
    for width in WIDTHS:
        for scheme in SCHEMES:
            page = browser.new_page(viewport={"width": width, "height": _HEIGHT}, color_scheme=_scheme(scheme))
            page.goto(url, wait_until="load")
            shift = page.evaluate(_SHIFT)
            size = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
            length = page.evaluate("new TextEncoder().encode(document.documentElement.outerHTML).length")
            name = re.sub(r"[^A-Za-z0-9.]+", "-", url.rsplit("/", 2)[-1].removesuffix(".html")) or "index"
            page.screenshot(path=out / f"{name}-{width}-{scheme}.png", full_page=not viewport_only)
            yield name, str(width), scheme, str(size[1]), str(max(0, size[0] - width)), f"{shift:.3f}", f"{length:,}"
            page.close()


def kinds(site: Path) -> list[str]:
    """One address of each kind of page that a site has, live ones too; of papers those that show most."""
    folders = ("topics", "categories", "sources", "days", "weeks", "months", "trending")
    papers = {page: page.read_text(encoding="utf-8") for page in sorted((site / "papers").glob("*.html"))}
    telling = [max(papers, key=lambda page: papers[page].count(mark)) for mark in ("<ins>", "<math")]
    pages = [*sorted(site.glob("*.html")), *(max((site / f).glob("*.html")) for f in folders), *telling]
    author = next(iter(re.findall(r"authors/[^\"#?]+", papers[telling[0]])), "authors/nobody")
    live = ["search", "search?q=agents", "search?q=agents&days=90", "search?q=titel:agents", author, "authors/nobody"]
    return [*(page.relative_to(site).as_posix() for page in pages), *live]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 1 where a page is wider than its window."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("pages", nargs="*", help="HTML files or URLs")
    parser.add_argument("--home", type=Path, help="a Paperwire home whose site is served and taken")
    parser.add_argument("--viewport-only", action="store_true", help="only what fits the window")
    given = parser.parse_args(arguments)
    executable = chromium()
    if executable is None:
        print("no Chromium found; install one or name it in PAPERWIRE_CHROMIUM", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, ...]] = [("page", "width", "scheme", "height", "overflow", "shift", "bytes")]
    with ExitStack() as stack:
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=executable, args=["--no-sandbox"]
        )
        served: list[str] = []
        if given.home:
            listener = stack.enter_context(listen("127.0.0.1", 0, hint=""))
            settings = demo_settings("http://127.0.0.1:1", given.home)
            stack.enter_context(serving(given.home / "site", listener, settings=settings))
            served = [url_of(listener) + page for page in kinds(given.home / "site")]
        for page in [*given.pages, *served]:
            url = page if page.startswith(("http://", "https://")) else Path(page).resolve().as_uri()
            rows += shoot(browser, url, given.out, viewport_only=given.viewport_only)
        browser.close()
    for row in rows:
        print("".join(cell.ljust(34) if not i else cell.rjust(10) for i, cell in enumerate(row)))
    return 1 if any(int(row[4]) for row in rows[1:]) else 0


def _scheme(name: str) -> Any:
    return name


if __name__ == "__main__":
    sys.exit(main())
