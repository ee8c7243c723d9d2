"""The query language (being written)."""


def parse_query(text: str) -> object:
    return text
