"""A wire that can be cut: a TCP or Unix proxy between a process and a server, on an event loop of its own thread."""

import asyncio
import socket
import struct
import threading
from contextlib import suppress

_CHUNK = 65536


class Wire:
    """Passes bytes on, until a fault is begun.

    ``reset`` breaks every connection at once. For a while, ``stall`` holds bytes back in both directions,
    ``hole`` swallows them, and ``half`` swallows only the answers; after ``hole`` and ``half`` the connections
    are broken, since the lost bytes never arrive. ``cut_after`` breaks the next connection that sends
    some word, once the server has received it and before its answer is passed on.
    """

    def __init__(self, upstream, own=None):
        """Listen on a free port, or on the path ``own``, for a server at (host, port) or at a path."""
        self._upstream = upstream
        self._own = own
        self._links = set()
        self._mode = "pass"
        self._word = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._thread.start()
        self._server = self._call(self._listen())
        self.port = None if own else self._server.sockets[0].getsockname()[1]

    def reset(self):
        self._call(self._break())

    def begin(self, mode):
        """Begin a fault: `stall`, `hole` or `half`."""
        self._mode = mode

    def end(self):
        """Pass everything on again."""
        swallowed, self._mode = self._mode in {"hole", "half"}, "pass"
        if swallowed:
            self.reset()

    def cut_after(self, word):
        self._word = word

    def heal(self):
        self._word = None
        self.end()

    def close(self):
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=30)

    async def _listen(self):
        if self._own:
            return await asyncio.start_unix_server(self._connected, self._own)
        return await asyncio.start_server(self._connected, "127.0.0.1", 0)

    async def _connected(self, reader, writer, head=b""):
        """Pass on a new connection, of which a ``head`` has been read already."""
        try:
            far = await self._reach()
        except OSError:
            writer.transport.abort()
            return
        far[1].write(head)
        link = {writer, far[1]}
        self._links.add(frozenset(link))
        # Only the close cancels it, and asyncio of Python 3.11 prints a traceback for a cancelled connection.
        with suppress(asyncio.CancelledError):
            await asyncio.gather(self._forward(reader, far[1]), self._backward(far[0], writer, link))
        self._links.discard(frozenset(link))

    async def _reach(self):
        if isinstance(self._upstream, str):
            return await asyncio.open_unix_connection(self._upstream)
        return await asyncio.open_connection(*self._upstream)

    async def _forward(self, reader, writer):
        """From the process to the server."""
        with suppress(OSError):
            while content := await reader.read(_CHUNK):
                await self._while_stalled()
                if self._mode != "hole":
                    if self._word and self._word in content:
                        self._word, self._mode = None, "cut"
                    writer.write(content)
                    await writer.drain()
        with suppress(OSError):
            writer.close()

    async def _backward(self, reader, writer, link):
        """From the server to the process."""
        with suppress(OSError):
            while content := await reader.read(_CHUNK):
                await self._while_stalled()
                if self._mode == "cut":
                    self._mode = "pass"
                    _abort(link)
                    return
                if self._mode == "pass":
                    writer.write(content)
                    await writer.drain()
        with suppress(OSError):
            writer.close()

    async def _while_stalled(self):
        while self._mode == "stall":  # noqa: ASYNC110  set by another thread, which cannot set an asyncio event
            await asyncio.sleep(0.02)

    async def _break(self):
        for link in list(self._links):
            _abort(link)

    async def _close(self):
        self._server.close()
        await self._break()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


def _abort(link):
    for writer in link:
        own = writer.get_extra_info("socket")
        if own is not None and own.family != socket.AF_UNIX:
            with suppress(OSError):
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
