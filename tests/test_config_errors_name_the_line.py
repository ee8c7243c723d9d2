"""A wrong paperwire.toml gives one line: which file, which line, what is wrong, what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import ConfigError
from storage.settings import Settings, config_path, data_home, load_settings, parse_settings

GOOD = """\
[site]
title = "Lab papers"
base_url = "https://papers.example.org"

[[source]]
name = "arxiv:cs.CL"
kind = "arxiv-rss"
category = "cs.CL"

[[source]]
name = "hf"
kind = "hf-daily"

[[topic]]
slug = "language-models"
title = "Language models"
query = 'category:cs.CL "language model*"'

[mail]
smtp_url = "smtp://127.0.0.1:25"
from = "Papers <papers@example.org>"
to = ["lab@example.org"]
"""
HOOK = '[[webhook]]\nname = "lab"\nurl = "https://${HOST}/x"'


def test_a_good_configuration_is_read() -> None:
    settings = parse_settings(GOOD)
    assert settings.site.base_url == "https://papers.example.org/"
    assert [s.name for s in settings.source] == ["arxiv:cs.CL", "hf"]
    assert settings.mail is not None
    assert settings.mail.sender == "Papers <papers@example.org>"


@pytest.mark.parametrize(
    ("before", "after", "line", "says"),
    [
        ('title = "Lab papers"', 'titel = "Lab papers"', 2, "unknown key 'titel'; did you mean 'title'?"),
        ('base_url = "https://papers.example.org"', 'base_url = "papers"', 3, "base_url: must be an http"),
        (
            'kind = "hf-daily"',
            'kind = "hf"',
            12,
            "kind: Input should be 'arxiv-rss', 'arxiv-oai', 'arxiv-api', 'hf-daily'",
        ),
        ('category = "cs.CL"', "", 5, "an arxiv-rss source needs a category"),
        ('name = "hf"', 'name = "arxiv:cs.CL"', None, "two [[source]] have the same name 'arxiv:cs.CL'"),
        ('slug = "language-models"', 'slug = "Language Models"', 15, "slug: String should match"),
        ('"language model*"\'', "\"language model*'", 17, "query:"),
        ('slug = "language-models"', 'slug = "all"', 15, "'all' names the feed of everything"),
        ('category:cs.CL "', 'since:30d "', 17, "since:, until: and topic: are for previews"),
        ('title = "Language models"', "", 14, "'title' is missing"),
        ('to = ["lab@example.org"]', 'to = ["lab"]', 22, "'lab' is not an e-mail address"),
        ('to = ["lab@example.org"]', "", 19, "smtp_url is set but nobody is in to"),
        ('smtp_url = "smtp://127.0.0.1:25"', 'smtp_url = "mail"', 20, "must be smtp://"),
        ("[mail]", "[mial]", 19, "unknown key 'mial'; did you mean 'mail'?"),
        ('name = "hf"', 'name = "hf"\nday = 3', 12, "unknown key 'day'; did you mean 'days'?"),
        ('name = "hf"', 'name = "hf"\ndays = 0', 12, "days: Input should be greater than or equal to 1"),
        ('title = "Lab papers"', "title = Lab", 2, "not valid TOML"),
        ('title = "Lab papers"', 'hub = "hub"', 2, "hub: must be an http"),
        ("[mail]", '[[webhook]]\nname = "lab"\nurl = "https://x.test/"\n[mail]', 19, "'shape' is missing"),
        ("[mail]", f'{HOOK}\nshape = "fax"\n[mail]', 22, "shape: Input should be 'json', 'slack', 'discord'"),
        ("[mail]", f'{HOOK}\nshape = "telegram"\n[mail]', 19, "a telegram webhook needs a chat"),
        ("[mail]", f'{HOOK}\nshape = "matrix"\nroom = "!r:x"\n[mail]', 19, "a matrix webhook needs a room and a token"),
        ("[mail]", f'{HOOK}\nshape = "json"\nsecret = "abc"\n[mail]', 23, "names a variable of the environment"),
        ("[mail]", f'{HOOK}\nshape = "slack"\nsecret = "${{S}}"\n[mail]', 19, "only the json shape is signed"),
        ("[mail]", f'{HOOK}\nshape = "json"\nquery = "\'"\n[mail]', 23, "query:"),
        ("[mail]", f'{HOOK}\nshape = "json"\n{HOOK}\nshape = "json"\n[mail]', None, "two [[webhook]] have the same"),
        ("[mail]", f'{HOOK}\nshape = "json"\ntopics = ["none"]\n[mail]', None, "names the topic 'none', which no"),
        ("[site]", 'home = "/"\n[site]', 1, "unknown key 'home'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(before: str, after: str, line: int | None, says: str) -> None:
    assert before in GOOD
    with pytest.raises(ConfigError) as caught:
        parse_settings(GOOD.replace(before, after, 1), path=Path("paperwire.toml"))
    assert says in str(caught.value)
    assert caught.value.line == line
    assert "\n" not in str(caught.value)
    if line:
        assert str(caught.value).startswith(f"paperwire.toml:{line}: ")


def test_a_missing_configuration_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration here .*--config"):
        load_settings(tmp_path / "none.toml")


def test_where_the_configuration_and_the_data_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PAPERWIRE_CONFIG", raising=False)
    monkeypatch.delenv("PAPERWIRE_HOME", raising=False)
    assert config_path() == tmp_path / "paperwire.toml"
    assert data_home() == tmp_path / ".paperwire"
    monkeypatch.setenv("PAPERWIRE_CONFIG", "other.toml")
    monkeypatch.setenv("PAPERWIRE_HOME", "data")
    assert config_path() == tmp_path / "other.toml"
    assert config_path(Path("given.toml")) == tmp_path / "given.toml"
    assert data_home() == tmp_path / "data"


def test_every_setting_is_in_the_docs() -> None:
    text = (Path(__file__).parents[1] / "docs" / "operate.md").read_text(encoding="utf-8")
    missing = []
    for table, model in Settings.model_fields.items():
        if table in ("path", "home"):
            continue
        inner = next(a for a in _models(model.annotation))
        missing += [f"{table}.{f.alias or n}" for n, f in inner.model_fields.items() if f"`{f.alias or n}`" not in text]
    assert not missing


def _models(annotation: object) -> list[type]:
    from typing import get_args

    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in get_args(annotation) for m in _models(a)]
