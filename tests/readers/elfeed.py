"""elfeed: a reader within Emacs, here in batch mode."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.readers.driver import Driver, Held, Shown, debian_version

_ELFEED = """(require 'elfeed)
(require 'json)
(setq elfeed-db-directory {database} elfeed-feeds '({urls}) elfeed-log-level 'warn
      coding-system-for-write 'utf-8-unix)
(when (equal (getenv "MARK_READ") "1")
  (with-elfeed-db-visit (entry _) (elfeed-untag entry 'unread)))
(elfeed-update)
(while (> (elfeed-queue-count-total) 0) (accept-process-output nil 0.02))
(elfeed-db-save)
(let (rows)
  (with-elfeed-db-visit (entry feed)
    (push (list (cdr (elfeed-entry-id entry)) (elfeed-feed-url feed)
                (if (memq 'unread (elfeed-entry-tags entry)) t :json-false)
                (elfeed-entry-title entry)
                (mapconcat (lambda (a) (plist-get a :name)) (elfeed-meta entry :authors) ", ")) rows))
  (with-temp-file {out} (insert (json-encode (vconcat (mapcar #'vconcat rows))))))
"""


class Elfeed(Driver):
    """Keeps an id once for a host, whichever feed brings it."""

    name, one_copy = "elfeed (Emacs)", True
    needs = ("emacs:emacs-nox", "curl:curl", "/usr/share/emacs/site-lisp/elpa/elfeed-*:elpa-elfeed")

    def __init__(self, home: Path, urls: Mapping[str, str]) -> None:
        super().__init__(home, urls)
        quoted = " ".join(f'"{url}"' for url in urls.values())
        script = _ELFEED.format(database=f'"{home}/db"', urls=quoted, out=f'"{home}/rows.json"')
        (home / "poll.el").write_text(script)
        self._all_read = False

    @classmethod
    def version(cls) -> str:
        return debian_version("elpa-elfeed")

    def poll(self) -> None:
        self.run(["emacs", "--batch", "--load", str(self.home / "poll.el")])
        self._all_read = False

    def held(self) -> Held:
        return self._ids(self._rows())

    def unread(self) -> Held:
        return self._ids([] if self._all_read else [row for row in self._rows() if row[2]])

    def mark_read(self) -> None:
        """Done by the next poll before it asks: starting Emacs once more would cost half a second."""
        self._all_read = True

    def shown(self, feed: str) -> dict[str, Shown]:
        return {row[0]: Shown(row[3], row[4]) for row in self._rows() if row[1] == self.urls[feed]}

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "MARK_READ": str(int(self._all_read))}

    def _ids(self, rows: list[list[str]]) -> Held:
        ids: Held = {feed: [] for feed in self.urls}
        for row in rows:
            ids[self.feed_at(row[1])].append(row[0])
        return ids

    def _rows(self) -> list[list[str]]:
        return list(json.loads((self.home / "rows.json").read_text("utf-8")))
