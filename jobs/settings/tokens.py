"""Which token may go to which API. Only the worker sends tokens; they are never stored or logged."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from jobs.settings import apis

_LONGEST = 4096  # bytes; without a limit a wrong file, as /dev/zero, would be read for ever
MADE_UP = SecretStr("sandbox-token")


def made_up(name: str) -> SecretStr:
    """Return an account's token for a rehearsal."""
    return SecretStr(f"sandbox-token-of-{name}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A token and the file it was read from."""

    path: Path
    token: SecretStr


def read(path: Path) -> Kept:
    """Return the first line of a token file; it is opened once, because it may be a pipe."""
    try:
        with path.open("rb") as file:
            line = file.readline(_LONGEST + 1).decode("ascii")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: a token has ASCII letters, digits and signs only") from None
    if len(line) > _LONGEST:
        raise ValueError(f"{path}: its first line is too long for a token")
    return Kept(path, parse(line))


def parse(text: str) -> SecretStr:
    """Return a token that fits into a header; the ValueError never repeats it."""
    token = text.strip()
    if not token:
        raise ValueError("the token is empty")
    if not all("!" <= character <= "~" for character in token):
        raise ValueError("a token has no spaces, no line ends and no letters outside ASCII")
    return SecretStr(token)


def may_go_to(api: apis.Api, token: SecretStr) -> bool:
    """Whether a token is for this API; Replicate's own is for Replicate alone (and for this machine)."""
    return not token.get_secret_value().startswith("r8_") or api.is_replicate or api.is_local


def exposure(path: Path) -> str | None:
    """Return a warning if every user can read a token's file."""
    return (
        f"every user of this machine can read the token; type: chmod 600 {path}" if is_exposed(path) else None
    )


def is_exposed(path: Path) -> bool:
    """Whether every user can read a file that belongs to this user."""
    found = path.stat()
    # A secret mounted into a container is often readable by all users there, and not ours to change.
    return found.st_uid == os.getuid() and bool(found.st_mode & stat.S_IROTH)
