"""The published feeds of one morning, served by our own app; the next morning takes their place at the same address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from publishers.paths import FEED_FORMATS
from publishers.web import web_app
from tests.site_server import serving

_FEEDS = tuple(f".{extension}" for extension in FEED_FORMATS)


class Mornings:
    """A folder that stands for the site of the day; `statuses` counts what readers were answered for feeds."""

    def __init__(self, link: Path, app: ASGIApp) -> None:
        self._link, self._app = link, app
        self.statuses: Counter[int] = Counter()
        self.url = ""

    def show(self, folder: Path) -> None:
        """From now on the site is `folder`."""
        fresh = self._link.with_name("next")
        fresh.symlink_to(folder)
        fresh.replace(self._link)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            agent = dict(scope["headers"]).get(b"user-agent", b"")
            # Our own looks at the site, and the icons that some look for, are no poll.
            if message["type"] == "http.response.start" and scope["path"].endswith(_FEEDS):
                self.statuses[message["status"]] += b"Python-urllib" not in agent
            await send(message)

        await self._app(scope, receive, counted)


@contextmanager
def mornings(folder: Path) -> Iterator[Mornings]:
    """Serve on a free port until the block ends; `folder` is empty and keeps the link."""
    link = folder / "site"
    served = Mornings(link, web_app(link))
    with serving(served) as port:
        served.url = f"http://127.0.0.1:{port}/"
        yield served
