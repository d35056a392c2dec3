"""Where database, broker and outputs are: URLs and folders as people write them. Touches no disk."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

if TYPE_CHECKING:
    from sqlalchemy import URL  # imported at run time only if a server is named: it costs 0.2 s

_SQLITE = "sqlite:///"
_POSTGRES = "postgresql+psycopg://"
_BROKERS = ("redis://", "rediss://", "redis+socket://")


def database(text: str, start: Path) -> str:
    """Return an SQLAlchemy URL: SQLite with an absolute path, or PostgreSQL by psycopg."""
    text = text.strip()
    if text.startswith(_SQLITE):
        return _SQLITE + str(_sqlite_file(text.removeprefix(_SQLITE), start))
    for prefix in ("postgres://", "postgresql://", _POSTGRES):
        if text.startswith(prefix):
            return _POSTGRES + _server(text.removeprefix(prefix))
    if "://" not in text and text:
        raise ValueError(f"no database URL; for a file write sqlite:///{text}")
    raise ValueError("no database URL; write sqlite:///FILE or postgresql://USER@HOST/NAME")


def sqlite_path(url: str) -> Path | None:
    """Return the file behind a URL made by `database`; None for a server."""
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


def broker(text: str, database_url: str | None) -> str:
    """Return a Redis URL; a broker is for several hosts, which need a database that all can write."""
    text = text.strip()
    if not text.startswith(_BROKERS):
        raise ValueError("no Redis URL; write redis://HOST:6379/0")
    asked = _parsed(text).query
    if database_url and sqlite_path(database_url):
        raise ValueError("workers on a broker need PostgreSQL; set OVERNIGHT_DATABASE_URL to postgresql://…")
    if text.startswith("rediss://"):
        return _with_certificate(text)
    if any(name.startswith("ssl_") for name in asked):
        raise ValueError("for TLS write rediss://, by which the broker's certificate is always checked")
    return text


def folder(text: str | Path, start: Path) -> Path:
    """Return an absolute folder; a relative one starts at `start`."""
    path = file(text, start)
    try:
        return path.resolve()
    except RuntimeError:  # what pathlib raises until Python 3.13
        raise ValueError(f"{path} is a link that leads back to itself") from None


def file(text: str | Path, start: Path) -> Path:
    """Return an absolute path, links and all: those of `/dev/fd`, a shell's `<(…)`, lead to no file."""
    try:
        return start / Path(text).expanduser()
    except RuntimeError:  # what pathlib raises for a "~" that leads nowhere
        user = Path(text).parts[0]
        raise ValueError(f'"{user}" is no user\'s home here; write the whole path, as /home/…') from None


def shown(url: str) -> str:
    """Return a URL or file fit to print: without its password, and without its query, which may hold one too.

    >>> shown("postgresql+psycopg://me:secret@db/cats?sslpassword=secret")
    'postgresql+psycopg://me:***@db/cats'
    >>> shown("sqlite:////home/me/overnight.db")
    '/home/me/overnight.db'
    """
    path = sqlite_path(url)
    return str(path) if path else _parsed(url).set(query={}).render_as_string(hide_password=True)


def _with_certificate(url: str) -> str:
    """Have a broker's certificate checked: by default its client accepts any."""
    parts = urlsplit(url)
    asked = {"ssl_cert_reqs": "required"} | dict(parse_qsl(parts.query))
    if asked["ssl_cert_reqs"] not in {"required", "CERT_REQUIRED"} or "ssl_check_hostname" in asked:
        raise ValueError(
            "the broker's certificate is always checked; for an authority of your own write ssl_ca_certs=FILE"
        )
    return urlunsplit(parts._replace(query=urlencode(asked), fragment=""))


def _sqlite_file(written: str, start: Path) -> Path:
    if written in {"", ":memory:"} or "?" in written:
        raise ValueError("a file is needed, nothing else; write sqlite:///overnight.db")
    path = folder(written, start)
    if "?" in str(path):
        raise ValueError(f'SQLite URLs cannot name {path}: choose a folder without "?"')
    return path


def _server(rest: str) -> str:
    if importlib.util.find_spec("psycopg") is None:
        raise ValueError(
            "PostgreSQL needs psycopg; install overnight with its extra, as pip install '.[postgres]'"
        )
    _parsed(_POSTGRES + rest)
    return rest


def _parsed(url: str) -> "URL":
    """Parse a server's URL; SQLAlchemy's own error message would repeat the password."""
    from sqlalchemy import exc, make_url

    try:
        return make_url(url)
    except (exc.ArgumentError, ValueError):
        raise ValueError('this URL cannot be read; write "%40" for an @ in a password, and so on') from None
