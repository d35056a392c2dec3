"""``GET /v1/predictions/{id}`` and ``POST /v1/predictions/{id}/cancel``."""

import time
from collections import Counter
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import answers, predictions, problems, wire
from sandbox.census import Census
from sandbox.options import Options
from sandbox.plan import Plan
from sandbox.predictions import Prediction
from sandbox.records import Records
from sandbox.views import Views
from sandbox.webhooks import Webhooks


@dataclass(kw_only=True)
class Reading:
    """Shows single predictions as they are now, and cancels them."""

    options: Options
    plan: Plan
    records: Records
    views: Views
    census: Census
    webhooks: Webhooks
    _reads: Counter[str] = field(default_factory=Counter, init=False)
    _cancels: Counter[str] = field(default_factory=Counter, init=False)

    async def get(self, request: Request, account: str) -> Response:
        prediction = self._find(request, account)
        subject = prediction.subject
        self._reads[subject] += 1
        if wire.was_kept(request) and self.plan.strikes("stale", subject, self._reads[subject]):
            return wire.Reset()
        if self.plan.strikes("get_5xx", subject, self._reads[subject]):
            return problems.page(503, "Service unavailable")
        if self._has_vanished(prediction):
            raise problems.not_found()
        answer = await self._answer(prediction, request)
        if odd := self.plan.kind("get_odd", subject, self._reads[subject]):
            return answers.misread(odd, answer, self.options.wait)
        dripping = self.plan.kind("drip", subject, self._reads[subject])
        return wire.Drip(answer, whole=dripping == "head") if dripping else answer

    async def cancel(self, request: Request, account: str) -> Response:
        prediction = self._find(request, account)
        now = time.time()
        if predictions.stage(prediction, now).completed_at is None:
            await self.records.cancel(prediction, now)
            self.census.ended(prediction.id)
            self.webhooks.ended(prediction.id)
        self._cancels[prediction.subject] += 1
        if lost := self.plan.kind("cancel_lost", prediction.subject, self._cancels[prediction.subject]):
            return answers.uncertain(lost)
        return await self._answer(prediction, request)

    def _find(self, request: Request, account: str) -> Prediction:
        prediction = self.records.find(request.path_params["id"], account)
        if prediction is None:
            raise problems.not_found()
        return prediction

    def _has_vanished(self, prediction: Prediction) -> bool:
        kind = self.plan.kind("vanish", prediction.subject)
        return kind == "ever" or (kind == "while" and time.time() < prediction.t + self.options.lag)

    async def _answer(self, prediction: Prediction, request: Request) -> Response:
        return JSONResponse(await self.views.show(prediction, time.time(), request.headers.get("host", "")))
