"""Serve pictures to whoever has the URL, no token needed: outputs and data URIs for an hour."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from sandbox import damage, faults, predictions, wire
from sandbox.blobs import Blobs
from sandbox.census import Census
from sandbox.options import Options
from sandbox.outputs import Outputs
from sandbox.plan import Plan
from sandbox.predictions import Prediction
from sandbox.records import Records

_NAME = re.compile(r"out-(\d)\.png", re.ASCII)
_PIECES = 10  # in which a slow picture is sent


@dataclass(kw_only=True)
class Delivery:
    """Serves pictures."""

    options: Options
    plan: Plan
    records: Records
    blobs: Blobs
    outputs: Outputs
    census: Census
    _reads: Counter[str] = field(default_factory=Counter, init=False)

    async def output(self, request: Request) -> Response:
        self.census.requests["output"] += 1
        prediction = self.records.find_by_key(request.path_params["key"])
        name = _NAME.fullmatch(request.path_params["name"])
        if not prediction or not name or not self._lives(prediction, int(name[1])):
            return self._gone(prediction)
        if request.query_params.get(damage.MOVED) == damage.LOOP:
            return RedirectResponse(request.url, 302)
        return await self._picture(request, prediction, int(name[1]))

    def _lives(self, prediction: Prediction, index: int) -> bool:
        produced = predictions.stage(prediction, time.time()).status in predictions.PRODUCED
        removed = self._is_removed(prediction) or self.plan.strikes("expire_url", prediction.subject)
        return produced and not removed and index < predictions.count(prediction)

    def _gone(self, prediction: Prediction | None) -> Response:
        forbidden = prediction is not None and self.plan.strikes("gone_403", prediction.subject)
        return JSONResponse({"detail": "requested file not found"}, 403 if forbidden else 404)

    def _is_removed(self, prediction: Prediction) -> bool:
        now = time.time()
        return predictions.removed(predictions.stage(prediction, now), now, self.options.lifetime)

    async def _picture(self, request: Request, prediction: Prediction, index: int) -> Response:
        subject = f"{prediction.subject}/{index}"
        self._reads[subject] += 1
        if wire.was_kept(request) and self.plan.strikes("stale", subject, self._reads[subject]):
            return wire.Reset()
        content = await self.outputs.content(prediction, index, request.is_disconnected)
        moved = damage.MOVED in request.query_params
        possible = (name for name in faults.OUTPUT if not (moved and name == "redirect"))
        if fault := self.plan.first(possible, subject, self._reads[subject]):
            kind = self.plan.kind(fault, subject, self._reads[subject])
            # A bomb takes the better part of a second to make.
            return await asyncio.to_thread(damage.spoilt, fault, kind, content, request.url)
        if not self.options.output_seconds:
            return Response(content, media_type="image/png")
        length = {"content-length": str(len(content))}
        slowly = _paced(content, self.options.output_seconds)
        return StreamingResponse(slowly, media_type="image/png", headers=length)

    async def input(self, request: Request) -> Response:
        """Serve the picture that came as a prediction's data URI, until it is deleted with the outputs."""
        prediction = self.records.find_by_key(request.path_params["key"])
        kind, _, digest = prediction.image.partition(":") if prediction else ("", "", "")
        if not prediction or kind != "blob" or self._is_removed(prediction):
            return self._gone(prediction)
        content = await asyncio.to_thread(self.blobs.get, digest)
        return Response(content, media_type="application/octet-stream")


async def _paced(content: bytes, seconds: float) -> AsyncIterator[bytes]:
    """Yield a picture in equal pieces, the last of them after so many seconds."""
    size = len(content) // _PIECES + 1
    for start in range(0, len(content), size):
        await asyncio.sleep(seconds / _PIECES)
        yield content[start : start + size]
