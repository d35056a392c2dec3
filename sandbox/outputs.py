"""The pictures that predictions make: each painted anew whenever it is wanted, and always the same."""

import asyncio
import base64
import io
from collections.abc import Awaitable, Callable

from PIL import Image

from sandbox import model, schema
from sandbox.blobs import Blobs
from sandbox.plan import Plan
from sandbox.predictions import Prediction

_PAINTERS = 2
# Pixels; handing a picture as small as this to a thread costs more than painting it.
_SMALL = 128


class Outputs:
    """Paints outputs; ``cap`` is the most that a side has, in pixels."""

    def __init__(self, cap: int, blobs: Blobs, plan: Plan) -> None:
        self._cap = cap
        self._blobs = blobs
        self._plan = plan
        self._painters = asyncio.Semaphore(_PAINTERS)

    async def content(
        self, prediction: Prediction, index: int, has_left: Callable[[], Awaitable[bool]] | None = None
    ) -> bytes:
        """Return a PNG; nothing is painted for a client that ``has_left`` when its turn comes."""
        if self._cap <= _SMALL:
            return self._paint(prediction, index)
        # They queue here and not in the pool of threads, which the server would have to drain before it ends.
        async with self._painters:
            # Where painting is slow, pictures that nobody waits for any more would hold up those asked for again.
            if has_left is not None and await has_left():
                return b""
            return await asyncio.to_thread(self._paint, prediction, index)

    async def data_uri(self, prediction: Prediction, index: int) -> str:
        content = await self.content(prediction, index)
        return f"data:image/png;base64,{base64.b64encode(content).decode()}"

    def _paint(self, prediction: Prediction, index: int) -> bytes:
        picture = self._painted(prediction, index)
        kind = None if self._plan.is_quiet() else self._plan.kind("blacked_out", prediction.subject)
        return model.blacked_out(picture) if kind == "all" or (kind and index) else picture

    def _painted(self, prediction: Prediction, index: int) -> bytes:
        kind, _, place = prediction.image.partition(":")
        known = {name: prediction.input.get(name, default) for name, default in schema.DEFAULTS.items()}
        inputs = {**known, "image": None, "num_outputs": None, "seed": prediction.seed}
        if kind == "url":
            return model.paint(model.draw(place, cap=self._cap), inputs, index=index, cap=self._cap)
        with Image.open(io.BytesIO(self._blobs.get(place) or b"")) as source:
            return model.paint(source, inputs, index=index, cap=self._cap)
