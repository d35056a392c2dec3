"""What is sent for a job's image: a URL as it is; a file as a data URI or as an uploaded file's URL.

Jobs often share an image, so encoded small ones are cached, within bounds; `uploads` gets large ones to the
API. Images are checked when the manifest is read, but files change, so each is checked again here.
"""

import base64
import hashlib
import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jobs import errors, failures, images, marker, shortage
from jobs.manifest import pictures, problems
from jobs.settings.times import Times
from worker.api import client
from worker.transfers import quarantine, uploads

_LONGEST_DATA_URI = 999_999  # characters; an API takes less than 1 MB if nothing can be uploaded
_LARGEST_INLINE = (_LONGEST_DATA_URI - pictures.data_uri_length(0)) // 4 * 3  # bytes of such a file
_MOST_ENCODED = 64_000_000  # characters of data URIs held in memory


@dataclass(frozen=True, slots=True)
class _File:
    """A local image, decoded once to its last pixel; ``content`` is empty if it is too long for a data URI."""

    source: uploads.Source
    content: bytes

    @property
    def data_uri_length(self) -> int:
        return pictures.data_uri_length(self.source.size)

    @property
    def data_uri(self) -> str:
        return f"data:{self.source.facts.media_type};base64,{base64.b64encode(self.content).decode()}"


_Version = tuple[str, int, int]  # path, mtime and size: a changed file is another image


class Inputs:
    """Turns image references into their wire form; belongs to one event loop."""

    def __init__(self, api: client.PredictionClient, times: Times) -> None:
        # Between two refusals that prove an API to be without uploads, as between those of its list.
        self._doubt = times.list_doubt
        self._refused_at: float | None = None
        self._can_upload = True
        self._encoded = _Encoded()
        self._decoded: OrderedDict[_Version, _File] = OrderedDict()
        self._digests: OrderedDict[_Version, str] = OrderedDict()  # of large files' contents
        self._uploads = uploads.Uploads(api, times)

    async def aclose(self) -> None:
        await self._uploads.aclose()

    async def wire_form(self, image: str, root: Path, *, suspect: bool = False) -> str:
        """Return what `input.image` is to be; local paths are relative to `root` and may not leave it.

        A suspect image may have killed a worker; it is decoded in a process of its own.

        Raises Refused if the file cannot be used, FolderGone if none of its root can, NotSent if this process cannot
        open any, and what an upload raises: NotYet, NotUploaded, Throttled, Blocked.
        """
        if _is_url(image):
            return image
        version = await uploads.looked(partial(_located, image, root))
        if known := self._encoded.get(version):
            return known
        file = self._decoded.get(version)
        if file is None:
            file = await uploads.looked(partial(_read, image, root, version, suspect))
        if file.data_uri_length > pictures.LONGEST_INLINE:
            return await self._large(image, version, file)
        self._encoded.put(version, uri := file.data_uri)
        return uri

    async def digest(self, image: str, root: Path) -> str | None:
        """Return the digest of the image's URL, in which the list may show it; None if it has none, or none yet.

        A data URI has none: an API that shows URLs as they were sent shows that as a URL of its own.
        """
        if _is_url(image):
            return marker.image_digest(image)
        try:
            version = await uploads.looked(partial(_located, image, root))
        except errors.ApiError:
            return None
        url = self._uploads.known(self._digests.get(version, ""))
        return marker.image_digest(url) if url else None

    async def _large(self, image: str, version: _Version, file: _File) -> str:
        uploads.remember(self._digests, version, file.source.digest)
        if self._can_upload:
            if not file.content:
                uploads.remember(self._decoded, version, file)
            try:
                url = await self._uploads.url(file.source)
            except errors.Unsupported as error:
                self._doubt_uploads()
                if self._can_upload and not file.content:
                    raise uploads.NotYet(str(error), self._doubt) from error
            else:
                self._refused_at = None
                return url
        if not file.content:
            raise _refused(
                f"{image!r} has {file.source.size} bytes, and this API takes no uploads; "
                f"make it at most {_LARGEST_INLINE} bytes, or give its URL"
            )
        return file.data_uri

    def _doubt_uploads(self) -> None:
        """Record a refused upload: one may be a gateway's bad moment, so jobs fail only if it lasts."""
        now = time.monotonic()
        self._refused_at = now if self._refused_at is None else self._refused_at
        self._can_upload = now < self._refused_at + self._doubt


class _Encoded:
    """Data URIs by file version; when they grow too large, the least recently used go first."""

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


def _is_url(image: str) -> bool:
    return image[:8].lower().startswith(("http://", "https://"))


def _located(image: str, root: Path) -> _Version:
    """Find a file inside its root, by the same rules as for the manifest; links may have changed since."""
    try:
        path = pictures.locate(image, root, absolute_allowed=True)
        facts = path.stat()
    except problems.Rejected as rejected:
        if isinstance(rejected, pictures.Unusable):
            _require(root)
        raise _refused(f"{image!r} {rejected.message}") from rejected
    except (OSError, ValueError) as error:
        raise _unreadable(image, error) from error
    if facts.st_size > pictures.LARGEST_UPLOAD:
        raise _refused(f"{image!r} has {facts.st_size} bytes; the most is {pictures.LARGEST_UPLOAD}")
    return str(path), facts.st_mtime_ns, facts.st_size


def _read(image: str, root: Path, version: _Version, suspect: bool) -> _File:
    path = Path(version[0])
    try:
        content = path.read_bytes()
        facts = quarantine.inspect(path) if suspect else images.inspect(content)
    except OSError as error:
        if not shortage.explains(error):
            _require(root)
        raise _unreadable(image, error) from error
    except quarantine.Poison as error:
        raise errors.Refused(str(error), failures.FailureClass.POISON) from error
    except errors.NotAnImage as error:
        raise _refused(f"{image!r} cannot be used. {error}") from error
    source = uploads.Source(path, hashlib.sha256(content).hexdigest(), len(content), facts)
    return _File(source, content if pictures.data_uri_length(len(content)) <= _LONGEST_DATA_URI else b"")


def _require(root: Path) -> None:
    """Raise FolderGone if the folder of pictures is not there, is closed to us, or is empty, as a disk's that is away.

    It had pictures when the manifest was read, so it is this host that lacks them. A folder below may be a single
    job's own, and then it is that job's picture which is missing.
    """
    if _is_gone(root):
        raise errors.FolderGone(
            f"the folder of pictures {str(root)!r} is not there or is empty: mount its disk, or put it back, then "
            "run the same command again"
        )


def _is_gone(folder: Path) -> bool:
    if not os.access(folder, os.X_OK):
        return True
    try:
        with os.scandir(folder) as found:
            return next(found, None) is None
    except PermissionError:  # its files can be opened by their names, and not listed
        return False
    except OSError as error:
        return not shortage.explains(error)


def _unreadable(image: str, error: Exception) -> errors.ApiError:
    if not isinstance(error, OSError):
        return _refused(f"{image!r} cannot be read: no path")
    message = f"{image!r} cannot be read: {error.strerror}"
    return errors.NotSent(message) if shortage.explains(error) else _refused(message)


def _refused(message: str) -> errors.Refused:
    return errors.Refused(message, failures.FailureClass.INPUT_UNREADABLE)
