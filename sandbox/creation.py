"""``POST /v1/predictions``: what is accepted, and whether its answer comes through."""

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import answers, faults, orders, predictions, validation, wire
from sandbox.census import Census
from sandbox.options import Options
from sandbox.orders import Order
from sandbox.pictures import Pictures
from sandbox.plan import Plan
from sandbox.predictions import Prediction
from sandbox.records import Records
from sandbox.views import Views
from sandbox.webhooks import Webhooks

_MOST_BODY = 2 * 2**20
# Before it starts, a prediction waits a tenth of its run time, which is lognormal around the median.
_QUEUE_SHARE = 0.1
_SIGMA = 0.4
_AT_CREATION = -float("inf")


@dataclass(kw_only=True)
class Creation:
    """Accepts predictions; ``hold`` throttles an account for some seconds."""

    options: Options
    plan: Plan
    records: Records
    pictures: Pictures
    views: Views
    census: Census
    webhooks: Webhooks
    hold: Callable[[str, float], None]
    # No attempts: they depend on the connections of the client.
    _resets: Counter[str] = field(default_factory=Counter, init=False)
    _late: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def create(self, request: Request, account: str) -> Response:
        order = await self._read(request, account)
        if wire.was_kept(request) and self.plan.strikes("stale", order.subject, self._resets[order.subject]):
            self._resets[order.subject] += 1
            return wire.Reset()
        self.records.count(order.identity, order.attempt)
        if before := self.plan.first(faults.BEFORE, order.identity, order.attempt):
            await self._keep_out(order, before)
            kind = self.plan.kind(before, order.identity, order.attempt)
            self.hold(account, answers.told(before, kind, self.options.wait))
            return answers.refusal(before, kind, self.options.wait)
        after = self.plan.first((*faults.AFTER, "drip"), order.identity, order.attempt)
        prediction = await self._accept(order, after)
        await asyncio.sleep(self.options.create_seconds)
        if after in faults.AFTER:
            return answers.spoilt(after, await self.views.show(prediction, _AT_CREATION, order.host))
        answer = await self._answer(prediction, request.headers.get("prefer", ""), order.host)
        if after != "drip":
            return answer
        return wire.Drip(answer, whole=self.plan.kind("drip", order.identity, order.attempt) == "head")

    async def _read(self, request: Request, account: str) -> Order:
        asked = validation.read_create(await wire.read_body(request, _MOST_BODY))
        allowed = validation.read_deadline(request.headers.get("cancel-after"))
        host = request.headers.get("host", "")
        image = self.pictures.place(asked.input["image"], account, host)
        identity = orders.identity(asked.input, image)
        return Order(
            version=asked.version,
            # Bytes live in the blobs, and not in the ledger.
            input={**asked.input, "image": None} if asked.input["image"].startswith("data:") else asked.input,
            image=image,
            webhook=asked.webhook,
            account=account,
            host=host,
            allowed=allowed,
            identity=identity,
            attempt=self.records.next_attempt(identity),
        )

    async def _keep_out(self, order: Order, fault: str) -> None:
        if fault != "late_exec":
            await self.records.not_accepted(order, fault)
            return
        due = time.time() + self.options.late
        await self.records.postpone(order, due)
        self._expect(order, due)

    def resume(self) -> None:
        """Go on with what is to be accepted late since before a restart; needs the event loop."""
        for order, due in self.records.postponed():
            self._expect(order, due)

    def _expect(self, order: Order, due: float) -> None:
        task = asyncio.create_task(self._accept_late(order, due))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _accept_late(self, order: Order, due: float) -> None:
        await asyncio.sleep(max(0.0, due - time.time()))
        await self._accept(order, "late_exec")

    async def _accept(self, order: Order, fault: str | None) -> Prediction:
        """Sell it: from here on it is in the ledger, whatever becomes of the answer."""
        picture = await self.pictures.examine(order.image)
        created = self.records.now()
        queue, run = self._durations(order)
        prediction = Prediction(
            id=_new_id(),
            t=created,
            account=order.account,
            identity=order.identity,
            attempt=order.attempt,
            fault=fault,
            fate=picture.fate or self.plan.fate(order.identity, order.attempt),
            error=picture.error,
            seed=int(order.input.get("seed", secrets.randbelow(2**32))),
            version=order.version,
            input=order.input,
            image=picture.place,
            key=secrets.token_urlsafe(24),
            queue=queue,
            run=run,
            deadline=None if order.allowed is None else created + order.allowed,
        )
        await self.records.accept(prediction)
        self.census.born(prediction.id, predictions.ends_at(prediction), created)
        if order.webhook is not None:
            self.webhooks.expect(prediction, order.webhook, order.host)
        return prediction

    def _durations(self, order: Order) -> tuple[float, float]:
        """Return how long this attempt waits and runs; the same for the same seed."""
        chance = random.Random(f"{self.options.seed}/{order.identity}/{order.attempt}")  # noqa: S311  no secret
        run = self.options.latency * chance.lognormvariate(0, _SIGMA)
        return run * _QUEUE_SHARE, run

    async def _answer(self, prediction: Prediction, prefer: str, host: str) -> Response:
        wait = validation.read_wait(prefer)
        if not wait:
            status = 202 if "respond-async" in prefer else self.options.manners.created
            return JSONResponse(await self.views.show(prediction, _AT_CREATION, host), status)
        await asyncio.sleep(max(0.0, min(wait, predictions.ends_at(prediction) - time.time())))
        now = time.time()
        finished = predictions.stage(prediction, now).completed_at is not None
        return JSONResponse(await self.views.show(prediction, now, host), 201 if finished else 202)


def _new_id() -> str:
    """Return 26 characters of base 32, as the API's ids look."""
    number = secrets.randbits(130)
    return "".join("0123456789abcdefghjkmnpqrstvwxyz"[number >> 5 * place & 31] for place in range(26))
