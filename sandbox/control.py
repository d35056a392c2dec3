"""``/_heal``, ``/_faults`` and ``/_stats``: for rehearsals, not part of the imitated API; they need no token."""

import time
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import faults
from sandbox.census import Census
from sandbox.plan import Plan
from sandbox.records import Records


@dataclass(kw_only=True)
class Control:
    """Switches faults while the sandbox runs, and reports what has passed through it."""

    plan: Plan
    records: Records
    census: Census

    async def heal(self, request: Request) -> Response:  # noqa: ARG002  a route takes the request
        await self.records.switched(None, time.time())
        self.plan.heal()
        return JSONResponse(self.plan.shares())

    async def faults(self, request: Request) -> Response:
        """Set the faults that the body names, ``{"NAME": SHARE}``; the others stay."""
        try:
            shares = {name: float(share) for name, share in (await request.json()).items()}
            faults.check(shares)
        except (ValueError, TypeError, AttributeError) as error:
            return JSONResponse({"detail": str(error)}, 422)
        moment = time.time()
        await self.records.switched(shares, moment)
        self.plan.switch(shares, moment)
        return JSONResponse(self.plan.shares())

    async def stats(self, request: Request) -> Response:  # noqa: ARG002  a route takes the request
        return JSONResponse(
            {
                "accepted": self.records.accepted(),
                "requests": dict(self.census.requests),
                "statuses": {str(status): count for status, count in sorted(self.census.statuses.items())},
                "throttled": self.census.statuses[429],
                "webhooks": dict(self.census.webhooks),
                "in_flight": self.census.in_flight(time.time()),
                "peak_in_flight": self.census.peak_in_flight,
            }
        )
