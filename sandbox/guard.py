"""Who may pass: every call under ``/v1`` is checked for its token and quota, and counted.

Any bearer token is an account of its own; only its digest is kept, never the token.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sandbox import answers, faults, limits, problems, profiles
from sandbox.census import Census
from sandbox.options import Options
from sandbox.outage import Outage
from sandbox.plan import Plan
from sandbox.records import Records

# A route's work proper: the request, and the account it is for.
Work = Callable[[Request, str], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]

_LOW_CREDIT = "create on low credit"
_GONE = 499  # as proxies log a client that hung up before its request was complete


class Guard:
    """Lets requests pass, or answers them itself."""

    def __init__(
        self,
        options: Options,
        *,
        plan: Plan,
        records: Records,
        census: Census,
    ) -> None:
        self._options = options
        self._profile: profiles.Profile = options.manners
        self._plan = plan
        self._outage = Outage(plan, options.outage, records.reached_at)
        self._census = census
        self._accepted = records.accepted
        self._per_minute = {
            "create": options.creates_per_minute,
            _LOW_CREDIT: options.low_credit,
            "read": options.reads_per_minute,
        }
        self._buckets: dict[tuple[str, str], limits.Bucket] = {}
        self._held: dict[str, float] = {}

    def hold(self, account: str, seconds: float) -> None:
        """Sell nothing to an account for so long, as a fault has told it; as long as such faults may strike."""
        self._held[account] = max(self._held.get(account, 0.0), time.monotonic() + seconds)

    def over(self, kind: str, work: Work) -> Endpoint:
        """Return an endpoint that does the work for those who may pass; ``kind`` says as what it is counted."""
        lacking = f"no_{kind}" if f"no_{kind}" in faults.LACKING else None

        async def endpoint(request: Request) -> Response:
            self._census.requests[kind] += 1
            if away := self._outage.kind():
                response = answers.away(away)
            else:
                response = await self._respond(kind, lacking, work, request)
            self._census.statuses[response.status_code] += 1
            return response

        return endpoint

    async def _respond(self, kind: str, lacking: str | None, work: Work, request: Request) -> Response:
        headers: dict[str, str] = {}
        try:
            if lacking and (status := self._plan.kind(lacking)):
                raise problems.not_offered(int(status))
            if kind in self._profile.lacks:
                raise problems.not_found(f"Invalid URL ({request.method} {request.url.path})")
            account = self._account(request)
            headers = self._admit(kind, account)
            response = await work(request, account)
        except problems.Problem as problem:
            response = problem.one_api_response() if self._profile.one_api_errors else problem.response()
        except ClientDisconnect:  # nobody is there to be answered
            return Response(status_code=_GONE)
        if response.status_code != 429:  # out of turn: there is room in the bucket, and nobody may say so
            response.headers.update(headers)
        return response

    def _account(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise problems.unauthenticated()
        return hashlib.sha256(token.strip().encode()).hexdigest()[:16]

    def _admit(self, kind: str, account: str) -> dict[str, str]:
        if self._plan.reached("401_after", self._accepted()):
            raise problems.unauthenticated()
        if kind == "create" and self._plan.reached("402_after", self._accepted()):
            raise problems.insufficient_credit()
        if kind == "create" and self._plan.reached("429_after", self._accepted()):
            raise problems.insufficient_quota()
        if kind == "create" and (left := self._held_for(account)) > 0:
            raise problems.throttled(left, {}, unit=self._options.wait)
        lane = self._lane(kind)
        if not (per_minute := self._per_minute[lane]):
            return {}
        now, low = time.monotonic(), lane == _LOW_CREDIT
        bucket = self._buckets.get((account, lane))
        if bucket is None:
            bucket = self._buckets[account, lane] = limits.Bucket(per_minute, now, 1.0 if low else None)
        wait = bucket.take(now)
        if wait > 0:
            raise problems.throttled(
                wait, bucket.headers(), unit=self._options.wait, reduced_to=per_minute if low else None
            )
        return bucket.headers()

    def _held_for(self, account: str) -> float:
        held = self._plan.may_strike("429") or self._plan.may_strike("429_odd")
        return self._held.get(account, 0.0) - time.monotonic() if held else 0.0

    def _lane(self, kind: str) -> str:
        """Return which of an account's limits counts for this call."""
        if kind != "create":
            return "read"
        return _LOW_CREDIT if self._plan.reached("low_credit_after", self._accepted()) else "create"
