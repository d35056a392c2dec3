import asyncio

from sandbox.blobs import Blobs
from sandbox.outputs import Outputs
from sandbox.plan import Plan
from sandbox.predictions import Prediction

SIDE = 256


def test_no_picture_is_painted_for_a_client_that_left_while_it_waited(tmp_path):
    outputs = Outputs(SIDE, Blobs(tmp_path), Plan(1, {}))
    wanted = Prediction(
        id="p", t=0.0, account="a", identity="i", attempt=0, fault=None, fate=None, error=None, seed=4,
        version="d4" * 32, input={"prompt": "a fox"}, image="url:https://images.example/fox.png", key="k",
        queue=1.0, run=10.0, deadline=None,
    )  # fmt: skip

    async def contents():
        left = asyncio.Event()

        async def has_left():
            return left.is_set()

        ahead = [asyncio.create_task(outputs.content(wanted, 0)) for _ in range(2)]
        waiting = asyncio.create_task(outputs.content(wanted, 0, has_left))
        await asyncio.sleep(0)
        left.set()
        return await asyncio.gather(*ahead, waiting)

    first, second, third = asyncio.run(contents())
    assert first == second
    assert first.startswith(b"\x89PNG")
    assert third == b""
