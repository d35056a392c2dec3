"""Outputs that a fault has struck."""

import asyncio
import functools
import struct
import zlib
from collections.abc import AsyncIterator

from starlette.datastructures import URL
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from sandbox import problems, wire

_TYPE = "image/png"
# Marks the URL of an output that has moved, so that it does not move again, unless it moves in circles for ever.
MOVED = "moved"
LOOP = "loop"
# Pixels on a side: nine hundred million in all, in some hundred kilobytes.
_BOMB_SIDE = 30_000
_BLOCK = bytes(65536)


def spoilt(fault: str, kind: str | None, content: bytes, url: URL) -> Response:
    """Return the answer to a read of an output; ``fault`` is one of ``faults.OUTPUT``, ``url`` what was asked for."""
    match fault, kind:
        case "redirect", _:
            return RedirectResponse(_elsewhere(kind or "once", url), 302)
        case "not_image", _:
            return Response(problems.page(200, "Sorry").body, media_type=_TYPE)
        case "output_busy", _:
            return JSONResponse({"detail": "Please try again later."}, int(kind or 503))
        case "bomb", _:
            gigantic = StreamingResponse(_endless(content)) if kind == "endless" else Response(_pixel_bomb())
            gigantic.headers["content-type"] = _TYPE
            return gigantic
        case "drip", _:
            return wire.Drip(Response(content, media_type=_TYPE), whole=kind == "head")
        case _:
            return wire.Cut(content, _TYPE, declared=fault == "truncate")


def _elsewhere(kind: str, url: URL) -> URL:
    """Return where a redirect leads: to the output itself, round in circles, or where no client should go."""
    match kind:
        case "once":
            return url.include_query_params(**{MOVED: 1})
        case "http":  # another host of this machine, on which nothing listens
            return url.replace(scheme="http", hostname="127.0.0.2")
        case "metadata":  # where clouds give their secrets away
            return URL(f"http://169.254.169.254{url.path}")
        case _:
            return url.include_query_params(**{MOVED: LOOP})


async def _endless(content: bytes) -> AsyncIterator[bytes]:
    """Yield a picture, and then meaningless bytes until the client hangs up."""
    yield content
    while True:
        yield _BLOCK
        await asyncio.sleep(0)  # a client that reads fast must not starve the others


@functools.cache
def _pixel_bomb() -> bytes:
    """Return a whole and valid PNG, all black, that takes gigabytes of memory to look at."""
    row = bytes(1 + _BOMB_SIDE // 8)
    squeeze = zlib.compressobj(9)
    rows = b"".join([*(squeeze.compress(row) for _ in range(_BOMB_SIDE)), squeeze.flush()])
    head = struct.pack(">IIBBBBB", _BOMB_SIDE, _BOMB_SIDE, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
