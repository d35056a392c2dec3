"""The sockets that our two servers listen on."""

import asyncio
import contextlib
import socket

import pytest

from overnight.webhooks import server as webhooks
from sandbox import server as sandbox


@pytest.mark.parametrize("listening", [sandbox._listen, webhooks._listening])
def test_an_answer_leaves_at_once_however_small_it_is(listening):
    """Otherwise each would wait 40 ms, and an API without any latency would bound what a benchmark finds."""

    async def accepted(listener):
        first = asyncio.get_running_loop().create_future()
        async with await asyncio.start_server(lambda *streams: first.set_result(streams), sock=listener):
            _, caller = await asyncio.open_connection(*listener.getsockname())
            _, answer = await first
            told = answer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            answer.close()
            caller.close()
        return told

    with contextlib.closing(listening("127.0.0.1", 0)) as listener:
        assert asyncio.run(accepted(listener))
