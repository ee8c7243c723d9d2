"""`python -m tests.readers.papis_library URL…`: have papis read pages into its library; print what it then holds."""

from __future__ import annotations

import json
import sys

import papis.api
import papis.config
from papis.bibtex import bibtex_to_dict
from papis.commands.add import run as add
from papis.downloaders.fallback import FallbackDownloader


def main(urls: list[str]) -> None:
    """The library is the one named in the settings of this process's own XDG folders."""
    papis.config.set_lib_from_name("papers")
    for url in urls:
        page = FallbackDownloader(url)
        page.fetch_data()
        add([], data=page.ctx.data, batch=True)
    held = [dict(document) for document in papis.api.get_all_documents_in_lib("papers")]
    json.dump(held, sys.stdout)


def entries(bibtex: str) -> list[dict[str, object]]:
    """What papis makes of a .bib file."""
    return [dict(entry) for entry in bibtex_to_dict(bibtex)]


if __name__ == "__main__":
    main(sys.argv[1:])
