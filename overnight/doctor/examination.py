"""Examine a whole installation: which parts are checked, and in which order."""

import platform
import sqlite3
from collections.abc import Callable, Iterator
from importlib import metadata

from jobs import errors
from jobs import settings as settings_module
from jobs.settings import Settings, cautions
from overnight import flags
from overnight.doctor import api, broker, database, disks, findings, rights
from overnight.doctor.findings import Finding

_LIBRARIES = ("celery", "httpx", "sqlalchemy", "pillow")

# Each check, with the subject under which an error that ends it is reported.
_PARTS: tuple[tuple[str, Callable[[Settings], Iterator[Finding]]], ...] = (
    ("token", api.look_at_token),
    ("api", api.look),
    ("database", database.look),
    ("work", database.look_at_work),
    ("broker", broker.look),
    ("output", disks.look),
    ("rights", rights.look),
)


def versions() -> Finding:
    """Report the versions in use, for whoever is asked for help."""
    libraries = (f"{name} {metadata.version(name)}" for name in _LIBRARIES)
    ours = f"overnight {metadata.version('overnight')}"
    python, sqlite = platform.python_version(), sqlite3.sqlite_version
    return findings.ok("versions", ", ".join((ours, f"Python {python}", f"SQLite {sqlite}", *libraries)))


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield the findings part by part; a part that cannot be checked does not hide the next."""
    yield from _settings(settings)
    for subject, look in _PARTS:
        try:
            yield from look(settings)
        except errors.OvernightError as error:
            yield from findings.wrong(subject, error)
        except OSError as error:  # for example a folder that we may not read
            yield from findings.wrong(subject, errors.Unavailable(f"cannot be checked: {error}"))


def _settings(settings: Settings) -> Iterator[Finding]:
    typed = flags.names()
    names = [
        settings_module.origin(field, typed)
        for field in settings_module.variables().values()
        if field in settings.model_fields_set
    ]
    yield findings.ok("settings", f"set: {', '.join(names)}" if names else "all at their defaults")
    for words in cautions.unwise(settings):
        yield findings.warning("settings", words)
