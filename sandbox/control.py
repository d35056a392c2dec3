"""``/_heal``, ``/_faults`` and ``/_stats``: for rehearsals, not part of the imitated API; they need no token."""

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import faults, plan
from sandbox.census import Census
from sandbox.records import Records


class Control:
    """Switches faults while the sandbox runs, and reports what has passed through it."""

    def __init__(self, *, drawn: plan.Plan, records: Records, census: Census) -> None:
        self._plan = drawn
        self._records = records
        self._census = census

    async def heal(self, request: Request) -> Response:  # noqa: ARG002  a route takes the request
        await self._records.switched(None, time.time())
        self._plan.heal()
        return JSONResponse(self._plan.shares())

    async def faults(self, request: Request) -> Response:
        """Set the faults that the body names, ``{"NAME": SHARE}``; the others stay."""
        try:
            shares = {name: float(share) for name, share in (await request.json()).items()}
            faults.check(shares)
        except (ValueError, TypeError, AttributeError) as error:
            return JSONResponse({"detail": str(error)}, 422)
        moment = time.time()
        await self._records.switched(shares, moment)
        self._plan.switch(shares, moment)
        return JSONResponse(self._plan.shares())

    async def stats(self, request: Request) -> Response:  # noqa: ARG002  a route takes the request
        return JSONResponse(
            {
                "accepted": self._records.accepted(),
                "requests": dict(self._census.requests),
                "statuses": {str(status): count for status, count in sorted(self._census.statuses.items())},
                "throttled": self._census.statuses[429],
                "webhooks": dict(self._census.webhooks),
                "in_flight": self._census.in_flight(time.time()),
                "peak_in_flight": self._census.peak_in_flight,
            }
        )
