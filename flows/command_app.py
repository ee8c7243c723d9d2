"""What all commands have in common: the app they register on, exit codes, help, the options nearly every one takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Group, Parameter

from storage.errors import ConfigError

if TYPE_CHECKING:
    from storage.settings import Settings

OK, FAILED, USAGE, INCOMPLETE, UNSENT, ARCHIVE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
_EXIT_CODES = """\
Exit codes:
  0    all well
  1    it could not be done
  2    the command, the configuration or a query is wrong
  3    done, but a source failed, has a gap, or an entry was refused
  4    done, but a mail or a push could not be delivered
  5    the archive is damaged or cannot be written
  130  interrupted

Settings: --config FILE, else $PAPERWIRE_CONFIG, else ./paperwire.toml.
Data: $PAPERWIRE_HOME, else ./.paperwire.
"""


def help_of(*examples: str) -> str:
    """The last part of a command's help: examples, and what every command has in common."""
    return "\n".join(["Examples:", *(f"  {line}" for line in examples), "", _EXIT_CODES])


app = App(
    name="paperwire",
    help="A wire service for new papers: one entry per paper, feeds and newsletters by topic, SQL over all of it.",
    help_format="plaintext",
    help_epilogue=help_of(
        "paperwire demo --once                 a week of real papers, in a minute",
        "paperwire run                         one pass over your sources",
        "paperwire COMMAND --help              what a command takes, with examples",
    ),
    version=lambda: version("paperwire"),
    default_parameter=Parameter(negative=(), show_default=False),
    suppress_keyboard_interrupt=False,  # it would end us without a word
)
WORK = Group("Commands that read, publish and send", sort_key=1)
LOOK = Group("Commands that only look", sort_key=2)
TEND = Group("Commands that tend the archive", sort_key=3)
app["--help"].group = app["--version"].group = Group("Options", sort_key=4)


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """What nearly every command takes."""

    config: Annotated[Path | None, Parameter(help="The configuration to use.")] = None
    json: Annotated[bool, Parameter(help="Print one JSON document, for programs.")] = False

    def settings(self) -> Settings:
        """The settings in force. Raises ConfigError."""
        from storage.settings import config_path, load_settings

        return load_settings(config_path(self.config))

    def settings_if_any(self) -> Settings | None:
        """The settings in force; None where none were named and none lie here. Raises ConfigError."""
        from storage.settings import config_path

        return self.settings() if self.config or config_path().exists() else None


COMMON = Common()


def moment(text: str | None, option: str) -> datetime:
    """The moment `option` names, now where it is not given. Without a zone it is UTC. Raises ConfigError."""
    if text is None:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{option} {text!r} is not a moment such as 2026-06-02T06:00:00Z") from error


def day(text: str, option: str) -> date:
    """The day `option` names. Raises ConfigError."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} {text!r} is not a day such as 2026-06-02") from error
