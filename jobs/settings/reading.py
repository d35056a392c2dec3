"""The settings, read once: command line, environment (OVERNIGHT_…), `.env`, defaults, in this order.

All mistakes are reported at once, one line each, under the name that the person used.
"""

import os
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jobs import errors
from jobs.settings import apis, credentials, spelling
from jobs.settings.fields import Settings, variable


def load(
    database: str | None = None,
    output: str | None = None,
    api: str | None = None,
    when_unconfirmed: str | None = None,
) -> Settings:
    """Read all settings, or raise every mistake at once; the arguments come from the command line.

    The sandbox, typed, has a database and outputs of its own: those that are set are for the real API, and made-up
    pictures would lie among the real ones.
    """
    typed: dict[str, Any] = {
        "database_url": database,
        "output": output,
        "OVERNIGHT_API_URL": api,
        "when_unconfirmed": when_unconfirmed,
    }
    given = {name: text for name, text in typed.items() if text is not None}
    rehearses = api is not None and api.strip() == apis.SANDBOX
    own: dict[str, Any] = {name: "" for name in ("database_url", "output") if rehearses and name not in given}
    dotenv = _current_folder() / ".env"
    _require_legible(dotenv)
    mistakes = _misspelt()
    try:
        settings = Settings(**given, **own)
    except ValidationError as error:
        mistakes += [line for one in error.errors() for line in _sentences(dict(one), given)]
    if mistakes:
        # Outside of the handler: the traceback of a ValidationError shows the input, which may contain a token.
        raise errors.Mistakes(spelling.placed(mistakes, dotenv))
    settings.model_fields_set.difference_update(own)  # by nobody
    return settings


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:
        raise errors.Mistake(
            "the current folder is not there any more; change to another one with cd"
        ) from None


def _require_legible(dotenv: Path) -> None:
    """Raise the mistakes of a file of settings: without the lines concerned nobody can tell what else is amiss."""
    try:
        if unreadable := list(spelling.unreadable(dotenv)):
            raise errors.Mistakes(unreadable)
    except UnicodeError:
        raise errors.Mistake(f"{dotenv}: is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise errors.Mistake(
            f"{dotenv}: cannot be read: {error.strerror}; mend that, or move the file away"
        ) from None


def origin(field: str, typed: Container[str]) -> str:
    """Return where a field was set; ``typed`` are the options of the command line."""
    name = variable(field)
    option = _OPTIONS.get(field) or _OPTIONS.get(name)
    if option in typed:
        return str(option)
    here = any(found.upper() == name and text for found, text in os.environ.items())
    return name if here else f"{name} in .env"


def variables() -> dict[str, str]:
    """Map each variable to its field, in the order of the fields."""
    return {variable(field): field for field in Settings.model_fields}


_OPTIONS = {
    "OVERNIGHT_API_URL": "--api",
    "database_url": "--database",
    "output": "--output",
    "when_unconfirmed": "--when-unconfirmed",
}


def _sentences(mistake: dict[str, Any], given: Container[str]) -> Sequence[str]:
    error = mistake["ctx"]["error"]
    if isinstance(error, credentials.Wrong):
        return error.lines
    place = str(mistake["loc"][0])
    name = _OPTIONS[place] if place in given else place if place.isupper() else variable(place)
    return [f"{name}: {error}"]


def _misspelt() -> list[str]:
    found = spelling.found(Settings)
    known = [*variables(), *credentials.variables(found.get("OVERNIGHT_ACCOUNTS") or "")]
    return spelling.mistakes(found, known)
