"""Bytes that were given to the sandbox, kept once each under their SHA-256."""

import hashlib
import re
import secrets
from pathlib import Path

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Blobs:
    """A folder of immutable files; blocking, so it is called from threads where the bytes may be many."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._known: set[str] = {entry.name for entry in folder.iterdir() if _DIGEST.fullmatch(entry.name)}

    def put(self, content: bytes) -> str:
        """Keep the bytes and return their digest.

        They are not synced: they survive the process, which a rehearsal kills, but not the machine.
        """
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._known:
            partial = self._folder / f"{digest}.{secrets.token_hex(4)}.part"
            partial.write_bytes(content)
            partial.replace(self._folder / digest)
            self._known.add(digest)
        return digest

    def get(self, digest: str) -> bytes | None:
        """Return the bytes, or None for a digest that was never kept."""
        return (self._folder / digest).read_bytes() if digest in self._known else None
