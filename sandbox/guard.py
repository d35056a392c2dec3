"""Who may pass: every call under ``/v1`` goes through here for its token, its quota and its count.

Any bearer token is an account of its own; only its digest is kept, never the token.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from sandbox import faults, limits, problems
from sandbox.census import Census

# A route's work proper: the request, and the account it is for.
Work = Callable[[Request, str], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


class Guard:
    """Lets requests pass, or answers them itself."""

    def __init__(
        self,
        *,
        creates_per_minute: float,
        reads_per_minute: float,
        plan: faults.Plan,
        census: Census,
        accepted: Callable[[], int],
    ) -> None:
        self._rates = {"create": creates_per_minute}
        self._reads = reads_per_minute
        self._plan = plan
        self._census = census
        self._accepted = accepted
        self._buckets: dict[tuple[str, str], limits.Bucket] = {}

    def over(self, kind: str, work: Work) -> Endpoint:
        """Return an endpoint that does the work for those who may pass; ``kind`` is what it counts as."""

        async def endpoint(request: Request) -> Response:
            self._census.requests[kind] += 1
            try:
                account = self._account(request)
                headers = self._admit(kind, account)
                response = await work(request, account)
                response.headers.update(headers)
            except problems.Problem as problem:
                response = problem.response()
            self._census.statuses[response.status_code] += 1
            return response

        return endpoint

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
        if not (per_minute := self._rates.get(kind, self._reads)):
            return {}
        now = time.monotonic()
        lane = "create" if kind in self._rates else "read"
        bucket = self._buckets.get((account, lane))
        if bucket is None:
            bucket = self._buckets[account, lane] = limits.Bucket(per_minute, now)
        wait = bucket.take(now)
        if wait > 0:
            raise problems.throttled(wait, bucket.headers())
        return bucket.headers()
