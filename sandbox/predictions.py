"""What a prediction is, and how it looks at a given moment.

Nothing runs: from creation on, a prediction's whole course is known, and its state is derived from the clock. That
is why a line of the ledger is enough to bring it back after a restart.
"""

import dataclasses
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox import schema

# The words of each failure: the API says the same thing in several ways, or says nothing.
_ERRORS = {
    "fail_transient": (
        "Prediction interrupted; please retry (code: PA)",
        *(f"The run was broken off. ({code})" for code in ("E1000", "E6716", "E8367", "E8765", "E9828")),
        "",
        None,
    ),
    "nsfw": ("NSFW content detected", "The output was flagged as sensitive. (E005)"),
    # The API says that a run is cut after half an hour, but not in which words: these are ours.
    "stuck": ("Prediction timed out after running for 30 minutes.",),
    "oom": (
        "CUDA out of memory. Tried to allocate more than this device has free.",
        "The run needed too much. (E1001)",
    ),
}
_LONGEST_RUN = 1800.0  # seconds
_UNKNOWN_STATUSES = ("queued", "IN_QUEUE", "booting", None)
_UNKNOWN_END = "completed"
# Under which there are outputs.
PRODUCED = frozenset({"succeeded", _UNKNOWN_END})


@dataclass(slots=True, kw_only=True)
class Prediction:
    """One accepted create: exactly what its line in the ledger holds, and ``canceled_at``.

    Times are seconds since 1970; ``queue`` and ``run`` are seconds. ``image`` says where the picture comes from
    (see ``pictures``). ``key`` is the unguessable part of its pictures' URLs. ``fate`` is how it goes wrong, or null: a
    name of ``faults.RUN``, or ``unreadable`` with its own ``error``. ``fault`` is the fault that struck its answer.
    """

    id: str
    t: float
    account: str
    identity: str
    attempt: int
    fault: str | None
    fate: str | None
    error: str | None
    seed: int
    version: str
    input: dict[str, Any]
    image: str
    key: str
    queue: float
    run: float
    deadline: float | None
    canceled_at: float | None = None

    @property
    def subject(self) -> str:
        """What faults are drawn for: unlike the id, the same in every run of one plan."""
        return f"{self.identity}/{self.attempt}"

    def line(self) -> dict[str, Any]:
        """Return its line in the ledger."""
        line = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del line["canceled_at"]
        return line


@dataclass(frozen=True, slots=True)
class Stage:
    """How far a prediction is; ``started_at`` and ``completed_at`` are null until then."""

    status: str | None
    started_at: float | None
    completed_at: float | None


_BEFORE_ALL = Stage("starting", None, None)


def stage(prediction: Prediction, now: float) -> Stage:
    """Return how far a prediction is; ``now = -inf`` shows it as it was created."""
    start = prediction.t + prediction.queue
    end = _natural_end(prediction)
    stop = min(prediction.canceled_at or math.inf, prediction.deadline or math.inf)
    if stop < end and stop <= now:
        return _stopped(prediction, start, stop)
    if end <= now:
        status = _end(prediction)
        return Stage(status, None if status == "aborted" else start, end)
    if prediction.fate == "unknown_status":
        return Stage(_one_of(_UNKNOWN_STATUSES, prediction), None, None)
    return Stage("processing", start, None) if start <= now else _BEFORE_ALL


def _end(prediction: Prediction) -> str:
    """Return the status under which a prediction ends by itself."""
    if prediction.fate == "aborted":
        return "aborted"
    if prediction.fate in _ERRORS or prediction.error or prediction.run > _LONGEST_RUN:
        return "failed"
    return _UNKNOWN_END if prediction.fate == "unknown_end" else "succeeded"


def ends_at(prediction: Prediction) -> float:
    """Return when it ends unless a person cancels it."""
    return min(_natural_end(prediction), prediction.deadline or math.inf)


def _natural_end(prediction: Prediction) -> float:
    start = prediction.t + prediction.queue
    match prediction.fate:
        case "aborted":
            return start
        case "stuck":
            return start + _LONGEST_RUN
        case _:
            return start + min(prediction.run, _LONGEST_RUN)


def _stopped(prediction: Prediction, start: float, stop: float) -> Stage:
    if stop >= start:
        return Stage("canceled", start, stop)
    # What never started is aborted by its deadline, but canceled by a person.
    return Stage("canceled" if stop == prediction.canceled_at else "aborted", None, stop)


def removed(reached: Stage, now: float, lifetime: float) -> bool:
    """Whether its input and output are deleted by now."""
    return reached.completed_at is not None and now >= reached.completed_at + lifetime


def describe(prediction: Prediction, now: float, *, base: str, lifetime: float) -> dict[str, Any]:
    """Return the API's object; ``base`` is the server's own URL without a path."""
    reached = stage(prediction, now)
    gone = removed(reached, now, lifetime)
    url = f"{base}/v1/predictions/{prediction.id}"
    described: dict[str, Any] = {
        "id": prediction.id,
        "model": f"{schema.OWNER}/{schema.NAME}",
        "version": prediction.version,
        "input": {} if gone else _echo(prediction, base),
        "output": None,
        "logs": "",
        "error": None,
        "status": reached.status,
        "created_at": timestamp(prediction.t),
        "data_removed": gone,
        "source": "api",
        "urls": {"get": url, "cancel": f"{url}/cancel", "web": url},
        "metrics": {},
    }
    if prediction.deadline is not None:
        described["deadline"] = timestamp(prediction.deadline)
    if reached.started_at is not None:
        described["started_at"] = timestamp(reached.started_at)
        described["logs"] = "" if gone else f"Using seed: {prediction.seed}\n"
    if reached.completed_at is not None:
        described |= _ending(prediction, reached)
    if reached.status in PRODUCED and not gone:
        described["output"] = output_urls(prediction, base)
    return described


def _echo(prediction: Prediction, base: str) -> dict[str, Any]:
    """Return the input as it was sent, but with the URL of its bytes in place of a data URI."""
    if prediction.input["image"] is None:
        return {**prediction.input, "image": f"{base}/input/{prediction.key}"}
    return prediction.input


def _ending(prediction: Prediction, reached: Stage) -> dict[str, Any]:
    completed = reached.completed_at or prediction.t
    ending: dict[str, Any] = {
        "completed_at": _uneven(completed),
        "metrics": {"total_time": completed - prediction.t},
    }
    if reached.started_at is not None:
        ending["metrics"]["predict_time"] = completed - reached.started_at
    if reached.status == "failed":
        ways = _ERRORS.get(prediction.fate or "", _ERRORS["stuck"])
        ending["error"] = prediction.error or _one_of(ways, prediction)
    return ending


def _one_of(ways: Sequence[str | None], prediction: Prediction) -> str | None:
    """Choose how something is said: the same at every look and in every run of one plan."""
    return ways[zlib.crc32(prediction.subject.encode()) % len(ways)]


def count(prediction: Prediction) -> int:
    """Return how many pictures it makes."""
    return int(prediction.input.get("num_outputs", schema.DEFAULTS["num_outputs"]))


def output_urls(prediction: Prediction, base: str) -> list[str]:
    """Return where its pictures are, once it has succeeded."""
    return [f"{base}/output/{prediction.key}/out-{index}.png" for index in range(count(prediction))]


def timestamp(moment: float) -> str:
    """Return a moment as the API writes it: ISO 8601 in UTC, with six fraction digits."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _uneven(moment: float) -> str:
    """Return a moment with three to nine fraction digits, as models' hosts write it; the same at every look."""
    digits = 3 + int(moment * 1e6) % 7
    nine = timestamp(moment)[:-1] + "000"
    return nine[: len(nine) - 9 + digits] + "Z"
