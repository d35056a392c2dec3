"""What goes on the wire for a job's image? A URL as it is; a file as a data URI or as an uploaded file's URL.

Jobs often share an image: encoded small ones and the URLs of uploaded large ones are remembered, within
bounds. Whether a row's image may be used at all is asked earlier, when the manifest is read; files change, so
each is checked again here.
"""

import asyncio
import base64
import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from jobs import crashpoints, errors, failures, images
from jobs.manifest import pictures, problems
from worker import client, quarantine

_LONGEST_DATA_URI = 1_000_000  # characters; what an API takes at most where nothing can be uploaded
_UPLOAD_LIVES = 20 * 3600.0  # seconds; the API keeps a file for about 24 hours
_MOST_UPLOADS = 10_000
_MOST_ENCODED = 64_000_000  # characters of data URIs held in memory


@dataclass(frozen=True, slots=True)
class _File:
    """A local image, decoded once to its last pixel."""

    content: bytes
    facts: images.Facts

    @property
    def data_uri_length(self) -> int:
        return pictures.data_uri_length(len(self.content))

    @property
    def data_uri(self) -> str:
        return f"data:{self.facts.media_type};base64,{base64.b64encode(self.content).decode()}"


_Version = tuple[str, int, int]  # path, mtime and size: another version of a file is another image


class Inputs:
    """Turns image references into their wire form; belongs to one event loop."""

    def __init__(
        self, api: client.PredictionClient, *, doubt: float = 60.0, max_pixels: int = images.MAX_PIXELS
    ) -> None:
        self._api = api
        self._max_pixels = max_pixels
        self._doubt = doubt  # seconds between two refusals after which an API counts as one without uploads
        self._refused_at: float | None = None
        self._can_upload = True
        self._encoded = _Encoded()
        self._uploads: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._uploading: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def wire_form(self, image: str, root: Path, *, suspect: bool = False) -> str:
        """Return what `input.image` is to be; local paths are relative to `root` and may not leave it.

        A worker may have died of a suspect one; it is decoded elsewhere.

        Raises Refused if the file cannot be used, and what an upload raises: Unanswered, Throttled, Blocked.
        """
        if image[:8].lower().startswith(("http://", "https://")):
            return image
        version = await asyncio.to_thread(_located, image, root)
        if known := self._encoded.get(version):
            return known
        file = await asyncio.to_thread(_read, image, version, self._max_pixels, suspect)
        if file.data_uri_length > pictures.LONGEST_INLINE:
            return await self._large(image, file)
        self._encoded.put(version, uri := file.data_uri)
        return uri

    async def _large(self, image: str, file: _File) -> str:
        if self._can_upload:
            try:
                return await self._uploaded(file)
            except errors.Unsupported as error:
                self._doubt_uploads()
                if self._can_upload and file.data_uri_length > _LONGEST_DATA_URI:
                    raise errors.Unanswered(str(error)) from error
        if file.data_uri_length > _LONGEST_DATA_URI:
            raise errors.Refused(
                f"{image!r} has {len(file.content)} bytes, and this API takes no uploads; "
                f"make it smaller than {_LONGEST_DATA_URI * 3 // 4} bytes, or give its URL"
            )
        return file.data_uri

    def _doubt_uploads(self) -> None:
        """One refusal may be a gateway's bad moment; jobs fail by it only when it lasts."""
        now = time.monotonic()
        self._refused_at = now if self._refused_at is None else self._refused_at
        self._can_upload = now < self._refused_at + self._doubt

    async def _uploaded(self, file: _File) -> str:
        """Return the URL of a file, uploaded once however many jobs ask for it at the same time."""
        digest = await asyncio.to_thread(lambda: hashlib.sha256(file.content).hexdigest())
        lock = self._uploading.setdefault(digest, asyncio.Lock())
        async with lock:
            url, until = self._uploads.get(digest, ("", 0.0))
            if time.monotonic() < until:
                return url
            name = f"{digest[:16]}.{file.facts.suffix}"
            url = await self._api.upload(file.content, name, file.facts.media_type)
            crashpoints.reach(crashpoints.Place.AFTER_UPLOAD)
            self._refused_at = None
            self._uploads[digest] = url, time.monotonic() + _UPLOAD_LIVES
            self._uploads.move_to_end(digest)
            if len(self._uploads) > _MOST_UPLOADS:
                self._uploads.popitem(last=False)
            return url


class _Encoded:
    """Data URIs by file version; the least recently used go first when they grow too many."""

    def __init__(self) -> None:
        self._uris: OrderedDict[_Version, str] = OrderedDict()
        self._size = 0

    def get(self, version: _Version) -> str | None:
        if version in self._uris:
            self._uris.move_to_end(version)
        return self._uris.get(version)

    def put(self, version: _Version, uri: str) -> None:
        self._size += len(uri) - len(self._uris.pop(version, ""))
        self._uris[version] = uri
        while self._size > _MOST_ENCODED:
            self._size -= len(self._uris.popitem(last=False)[1])


def _located(image: str, root: Path) -> _Version:
    """Find a file inside its root, by the manifest's own rules; links may have changed since."""
    try:
        path = pictures.locate(image, root, absolute_allowed=True)
        facts = path.stat()
    except problems.Rejected as rejected:
        raise _refused(f"{image!r} {rejected.message}") from rejected
    except (OSError, ValueError) as error:
        raise _unreadable(image, error) from error
    if facts.st_size > pictures.LARGEST_UPLOAD:
        raise errors.Refused(f"{image!r} has {facts.st_size} bytes; the most is {pictures.LARGEST_UPLOAD}")
    return str(path), facts.st_mtime_ns, facts.st_size


def _read(image: str, version: _Version, max_pixels: int, suspect: bool) -> _File:
    path = Path(version[0])
    try:
        content = path.read_bytes()
        if suspect:
            return _File(content, quarantine.inspect(path, max_pixels=max_pixels))
        return _File(content, images.inspect(content, max_pixels=max_pixels))
    except OSError as error:
        raise _unreadable(image, error) from error
    except quarantine.Poison as error:
        raise errors.Refused(str(error), failures.FailureClass.POISON) from error
    except errors.NotAnImage as error:
        raise _refused(f"{image!r} cannot be used. {error}") from error


def _unreadable(image: str, error: Exception) -> errors.Refused:
    reason = error.strerror if isinstance(error, OSError) else "no path"
    return _refused(f"{image!r} cannot be read: {reason}")


def _refused(message: str) -> errors.Refused:
    return errors.Refused(message, failures.FailureClass.INPUT_UNREADABLE)
