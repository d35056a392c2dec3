"""Where a prediction's input picture comes from, and whether it can be read.

A rehearsal has no network: data URIs, our own files and URLs on this machine are read; for any other URL a picture is
drawn from the URL's text, the same one each time.
"""

import asyncio
import http.client
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from PIL import Image

from sandbox import urls, validation
from sandbox.blobs import Blobs

_FETCH_SECONDS = 5.0
_FETCH_BYTES = 100 * 2**20
# Larger ones end in the model's own out-of-memory error, and are never decoded.
_MOST_PIXELS = 25_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """An input picture: ``blob:DIGEST``, or ``url:URL`` for one that is drawn; and why it cannot be used, if so."""

    place: str
    fate: str | None = None
    error: str | None = None


class Pictures:
    """Finds the pictures that inputs name; ``find_file`` finds an account's uploaded ones by id."""

    def __init__(self, blobs: Blobs, find_file: Callable[[str, str], dict[str, Any] | None]) -> None:
        self._blobs = blobs
        self._find_file = find_file
        self._examined: dict[str, Picture] = {}

    def place(self, uri: str, account: str, host: str) -> str:
        """Return the place of this picture, without examining it; the bytes of a data URI are kept.

        A file that has expired, or is another account's, is a URL like any other: nothing answers there without
        the token.
        """
        if uri.startswith("data:"):
            return f"blob:{self._blobs.put(validation.read_data_uri(uri))}"
        digest = self._own_file(urlsplit(uri), account, host)  # which `validation` has found well-formed
        return f"blob:{digest}" if digest else f"url:{uri}"

    async def examine(self, place: str) -> Picture:
        """Return the picture of a place; one that cannot be fetched or read carries its prediction's fate."""
        kind, _, name = place.partition(":")
        if kind == "blob":
            return await self._examine_bytes(name)
        url = urlsplit(name)
        if not urls.is_here(url):
            return Picture(place)
        try:
            content = await asyncio.to_thread(_fetch, url)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Picture(place, "unreadable", f"Failed to download the input image: {error}")
        return await self._examine_bytes(await asyncio.to_thread(self._blobs.put, content))

    def _own_file(self, url: SplitResult, account: str, host: str) -> str | None:
        parts = url.path.split("/")
        if url.netloc != host or parts[:3] != ["", "v1", "files"] or len(parts) < 4:
            return None
        file = self._find_file(parts[3], account)
        return file["checksums"]["sha256"] if file else None

    async def _examine_bytes(self, digest: str) -> Picture:
        if digest not in self._examined:
            self._examined[digest] = await asyncio.to_thread(self._decode, digest)
        return self._examined[digest]

    def _decode(self, digest: str) -> Picture:
        """Read the whole picture once, so that a broken one fails its prediction and not its output."""
        place = f"blob:{digest}"
        try:
            with Image.open(io.BytesIO(self._blobs.get(digest) or b"")) as image:
                if image.width * image.height > _MOST_PIXELS:
                    return Picture(place, "oom")
                image.load()
        except Image.DecompressionBombError:
            return Picture(place, "oom")
        except (OSError, ValueError, SyntaxError):
            return Picture(place, "unreadable", "cannot identify image file")
        return Picture(place)


def _fetch(url: SplitResult) -> bytes:
    """Read one URL of this machine: no redirect, no proxy, no token; blocking."""
    connection = http.client.HTTPConnection(url.netloc, timeout=_FETCH_SECONDS)
    try:
        connection.request("GET", f"{url.path or '/'}{'?' + url.query if url.query else ''}")
        answer = connection.getresponse()
        content = answer.read(_FETCH_BYTES + 1)
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"the server answered {answer.status}")
    if len(content) > _FETCH_BYTES:
        raise OSError("it is larger than 100 MB")
    return content
