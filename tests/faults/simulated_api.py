"""The prediction API of the simulator: it answers, sells, lies and keeps a ledger, all in virtual time.

It speaks status codes and JSON to the real client, over the wire of `simulated_wire`. What goes wrong with a send is
drawn per (seed, job, number of the send). Of the product it only imports the marker that tells jobs apart.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jobs import marker
from tests.faults import simulated_ledger
from tests.faults.simulated_ledger import NEVER, PRODUCED, Line
from tests.faults.simulated_plan import SETTLE, Plan

_WIPED_AFTER = 3600.0
_LOW_CREDIT = 10.0  # seconds from one create to the next, while credit is low


@dataclass(frozen=True)
class Answer:
    """What comes back, after ``after`` seconds; without a status the wire is cut."""

    after: float
    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: bool = True  # False: it never left


class Api:
    """Takes requests; everything random is drawn from the plan."""

    def __init__(self, plan: Plan, time: Callable[[], float], epoch: datetime) -> None:
        self._plan = plan
        self._time = time
        self._epoch = epoch.timestamp()
        self._sends: Counter[str] = Counter()
        self._reads = plan.rng("reads")
        self._sells_again = 0.0  # when, while credit is low
        self.lines: dict[str, Line] = {}
        # (when, with which fault), of every create that left or tried to.
        self.posts: list[tuple[float, str]] = []
        self.reads: list[float] = []  # when

    @property
    def healed(self) -> bool:
        return self._time() >= self._plan.healed_at

    def weather(self) -> set[str]:
        return {w.kind for w in self._plan.weather if w.begin <= self._time() < w.end}

    def ask(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Answer one request that has arrived."""
        parts = urlsplit(target)
        name = parts.path.partition("/predictions")[2].strip("/")
        if method == "POST" and not name:
            return self._created(json.loads(body), headers)
        self.reads.append(self._time())
        if spoilt := self._spoilt():
            return spoilt
        if not name:
            return self._listed(parse_qs(parts.query))
        name, _, verb = name.partition("/")
        return self._shown(name, cancelled=verb == "cancel")

    def note_gap(self, body: bytes, seconds: float) -> None:
        """Note how long the process that sent this create had stood still after its last check."""
        if seconds and body:
            job = marker.digest(json.loads(body)["input"])
            if line := self.lines.get(f"{job[:12]}-{self._sends[job]}"):
                line.gap = seconds

    def has_file(self, url: str) -> bool:
        """Whether an output is at its URL yet: some take a while after their prediction's end."""
        name = url.split("/")[3]
        rng = self._plan.rng("file", name)
        late = rng.uniform(0, 40) if rng.random() < self._plan.downloads_fail else 0.0
        return self._time() >= self.lines[name].ends_at + late

    def _spoilt(self) -> Answer | None:
        """Return the answer that bad weather gives to any call, or bad luck to a read; None if there is neither."""
        found = self.weather()
        if "away" in found:
            return Answer(0.1, sent=False)
        if "502" in found:
            return self._answer(502, {"detail": "bad gateway"})
        if "silent" in found:
            return Answer(NEVER)
        if "401" in found:
            return self._answer(*_REFUSALS["401"])
        if not self.healed and self._reads.random() < self._plan.reads_fail:
            return self._reads.choice((self._answer(503, {}), Answer(0.1), Answer(NEVER)))
        return None

    # Creates

    def _created(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        sent = {k: v for k, v in body["input"].items() if k != "image"}
        job = marker.digest(sent)
        self._sends[job] += 1
        rng = self._plan.rng("send", job, self._sends[job])
        answer, fault = self._sold(sent, f"{job[:12]}-{self._sends[job]}", rng, headers)
        self.posts.append((self._time(), fault))
        return answer

    def _sold(self, sent: Any, name: str, rng: Any, headers: Mapping[str, str]) -> tuple[Answer, str]:
        """Draw what becomes of a create, and record what it bought."""
        fault = self._weathered() or ("" if self.healed else _drawn(self._plan.sends, rng))
        if refusal := self._refusal(fault):
            return refusal, fault
        late = 0.0
        if fault == "late":
            late = rng.uniform(0, SETTLE - self._plan.lag)
        elif fault == "too_late":
            late = rng.uniform(SETTLE, 900)
        line = self._line(sent, name, rng, headers, late, fault)
        return self._told(line, fault, rng), fault

    def _weathered(self) -> str:
        found = self.weather()
        for kind, fault in (("away", "refused"), ("502", "502_before"), ("silent", "silent")):
            if kind in found:
                return fault
        if "low_credit" in found and not self._spares_one():
            return "low_credit"
        return next((kind for kind in ("401", "402", "429", "no_quota") if kind in found), "")

    def _spares_one(self) -> bool:
        """Whether one more is sold now although credit is low."""
        spares = self._time() >= self._sells_again
        if spares:
            self._sells_again = self._time() + _LOW_CREDIT
        return spares

    def _refusal(self, fault: str) -> Answer | None:
        """Return the answer to a create that buys nothing; None if it buys."""
        if fault == "low_credit":
            wait = math.ceil(self._sells_again - self._time())
            return self._answer(429, {"detail": _LOW_CREDIT_SAYS.format(wait)})
        if fault in _REFUSALS:
            return self._answer(*_REFUSALS[fault])
        return {
            "refused": Answer(0.1, sent=False),
            "dropped": Answer(self._plan.latency),
            "silent": Answer(NEVER),
        }.get(fault)

    def _line(
        self, sent: Any, name: str, rng: Any, headers: Mapping[str, str], late: float, fault: str
    ) -> Line:
        now = self._time()
        fate = _drawn(self._plan.runs, rng) or "ok"
        accepted_at = now + late + self._plan.latency / 2
        starts_at = accepted_at + rng.uniform(0, 5)
        lasts = NEVER if fate == "stuck" else rng.choice((rng.uniform(2, 12), rng.uniform(12, 60)))
        if fate == "aborted":
            lasts = 0.0
        if fate == "stuck" and self._plan.obeys_cancel_after:
            lasts = float(headers["Cancel-After"].removesuffix("s"))
        shown_at = accepted_at + rng.uniform(0, self._plan.lag)
        line = Line(name, sent, now, accepted_at, shown_at, starts_at, starts_at + lasts, fate, fault)
        self.lines[name] = line
        return line

    def _told(self, line: Line, fault: str, rng: Any) -> Answer:
        slow = self._plan.create_seconds
        match fault:
            case "502_after":
                return self._answer(502, {"detail": "bad gateway"}, slow)
            case "no_id":
                return self._answer(201, {"status": "starting"}, slow)
            case "answer_lost":
                return Answer(rng.choice((self._plan.latency, NEVER)))
            case "late" | "too_late":
                return rng.choice((Answer(NEVER), self._answer(504, {})))
        shown = {"id": line.id, "status": "starting", "version": self._version(line), "input": line.input}
        return self._answer(201, shown, slow)

    # Reads

    def _shown(self, name: str, *, cancelled: bool) -> Answer:
        line = self.lines.get(name)
        if line is None or not self._knows(line):
            return self._answer(404, {"detail": "not found"})
        if cancelled and line.status(self._time()) in {"starting", "processing"}:
            line.cancelled_at = self._time()
        return self._answer(200, self._object(line))

    def _knows(self, line: Line) -> bool:
        rng = self._plan.rng("known", line.id)
        hidden = rng.uniform(0, 30) if rng.random() < self._plan.unknown_ids else 0.0
        return self._time() >= line.accepted_at + hidden

    def _listed(self, query: Mapping[str, list[str]]) -> Answer:
        if not self._plan.can_list:
            return self._answer(404, {"detail": "no such call"})
        if "no_list" in self.weather() or (not self.healed and self._reads.random() < self._plan.pages_fail):
            return self._answer(500, {})
        since = datetime.fromisoformat(query["created_after"][0]).timestamp()
        shown = [line for line in self.lines.values() if line.shown_at <= self._time()]
        shown = [line for line in shown if self._stamp(line.accepted_at) >= since]
        shown.sort(key=lambda line: (-line.accepted_at, line.id))
        start = int(query.get("cursor", ["0"])[0])
        page = shown[start : start + self._plan.page]
        following = f"https://api.example/v1/predictions?cursor={start + len(page)}"
        if self._plan.shuffled:
            self._reads.shuffle(page)
        results = [self._object(line) for line in page]
        return self._answer(
            200, {"next": following if start + len(page) < len(shown) else None, "results": results}
        )

    def _object(self, line: Line) -> dict[str, Any]:
        status = line.status(self._time())
        ended = status not in {"starting", "processing"}
        ends_at = line.cancelled_at if status == "canceled" and line.cancelled_at else line.ends_at
        wiped = ended and self._time() > ends_at + _WIPED_AFTER
        removed = wiped or (status == "succeeded" and line.fate == "expired")
        early = status == "processing" and self._is_odd(line, "early_output")
        shown = {
            "id": line.id,
            "status": status if ended or not self._is_odd(line, "unknown_status") else "queued",
            "version": self._version(line),
            "input": {} if wiped else line.input,
            "output": self._output(line) if early or (status in PRODUCED and not removed) else None,
            "error": _ERRORS.get(line.fate) if status == "failed" else None,
            "data_removed": removed,
            "created_at": self._iso(line.accepted_at),
            "completed_at": self._iso(ends_at) if ended else None,
            "metrics": {"predict_time": line.run} if ended and status != "aborted" else {},
        }
        if self._is_odd(line, "undated"):
            del shown["created_at"], shown["completed_at"]
        return shown

    def _is_odd(self, line: Line, name: str) -> bool:
        share = self._plan.oddities.get(name, 0.0)
        return share > 0 and self._plan.rng(name, line.id).random() < share

    def _version(self, line: Line) -> str:
        return "hidden" if self._is_odd(line, "other_version") else "a-model"

    def _output(self, line: Line) -> list[str]:
        url = simulated_ledger.address(line.id)
        return [simulated_ledger.inlined(url) if self._is_odd(line, "inline") else url]

    def _stamp(self, seconds: float) -> float:
        return self._epoch + seconds + self._plan.api_ahead

    def _iso(self, seconds: float) -> str:
        return datetime.fromtimestamp(self._stamp(seconds), UTC).isoformat()

    def _answer(self, status: int, body: Any, slow: float = 0.0) -> Answer:
        """Return an answer that takes so many seconds longer than the wire."""
        now = datetime.fromtimestamp(self._stamp(self._time()), UTC)
        headers = {"date": format_datetime(now, usegmt=True)}
        return Answer(self._plan.latency + slow, status, json.dumps(body).encode(), headers)


_REFUSALS: dict[str, tuple[int, dict[str, Any]]] = {
    "502_before": (502, {"detail": "bad gateway"}),
    "429": (429, {"detail": "Request was throttled.", "retry_after": 7}),
    "401": (401, {"title": "Unauthenticated", "detail": "the token is not valid"}),
    "402": (402, {"title": "Insufficient credit", "detail": "no credit is left"}),
    "no_quota": (
        429,
        {"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}},
    ),
}
_LOW_CREDIT_SAYS = (
    "Request was throttled. While your credit is low, you have 6 requests per minute with a burst of 1 request. "
    "Your rate limit resets in ~{}s."
)
_ERRORS = {
    "fail_transient": "Prediction interrupted; please retry (code: PA)",
    "nsfw": "NSFW content detected",
}


def _drawn(shares: Mapping[str, float], rng: Any) -> str:
    """Draw one of these names by its share, or none."""
    draw = rng.random()
    for name, share in shares.items():
        draw -= share
        if draw < 0:
            return name
    return ""
