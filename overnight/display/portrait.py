"""One job on a page: what it is, what it waits for, its attempts, its files, what to type next.

Texts come from manifests and from the API: whatever could move a cursor or forge a line is escaped.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jobs import commands, failures, presence, texts
from jobs.failures import Remedy
from jobs.reports import waits
from jobs.reports.dossier import Attempt, Dossier, File
from jobs.reports.limits import Limit
from jobs.selecting import globs
from jobs.states import FINAL, BatchState, Phase, State
from overnight.display import advised


def lines(dossier: Dossier, limit: Limit, output: Path, flags: str = "") -> list[str]:
    """Return the page; ``flags`` are the options that a command typed next must carry."""
    pairs: list[tuple[str, str]] = [
        *_standing(dossier, limit),
        *_wanted(dossier),
        *(pair for attempt in dossier.attempts for pair in _attempt(attempt, dossier)),
        *(("file", _file(file, output)) for file in dossier.files),
        *_dropped(dossier),
        *(("next", command) for command in next_commands(dossier, flags)),
    ]
    width = max(len(name) for name, _ in pairs)
    return [
        texts.printable(dossier.name),
        *(f"  {name:<{width}}  {texts.printable(text)}".rstrip() for name, text in pairs),
    ]


def next_commands(dossier: Dossier, flags: str) -> list[str]:
    """Return what a person types next about this one job; empty when nothing is to be done."""
    job, name = dossier.job, dossier.batch.name
    if job.state not in {State.FAILED, State.CANCELLED} or dossier.batch.state is BatchState.CANCELLED:
        return []
    if job.refused:
        return [advised.corrected(dossier.batch, flags)]
    this = [name, "--key", globs.exactly(job.key)]
    remedy = failures.advice(job.error_class).remedy if job.error_class else None
    if remedy is Remedy.NEW_INPUT:
        typed = ["export", *this, "--manifest", "-o", next(advised.again(name))]
    else:
        seed = ["--new-seed"] if remedy is Remedy.NEW_SEED else []
        typed = ["retry", *this, *seed]
    return [commands.line(flags, *typed)]


def _standing(dossier: Dossier, limit: Limit) -> Iterator[tuple[str, str]]:
    job, since = dossier.job, waits.since(dossier)
    yield "state", str(job.state) + (f" since {waits.moment(since)}" if since else "")
    if job.error_class:
        meaning = failures.advice(job.error_class).meaning
        yield "error", f"{job.error_class}: {meaning}"
        yield "", job.error_message or ""
    if (waiting := waits.of(dossier, limit)) is not None:
        yield "waits for", waiting


def _wanted(dossier: Dossier) -> Iterator[tuple[str, str]]:
    job, batch = dossier.job, dossier.batch
    beside = f" of {batch.options['beside']}" if batch.options.get("beside") else ""
    yield "manifest", f"{batch.manifest_path or 'stdin'}" + (f", line {job.row}{beside}" if job.row else "")
    yield "image", job.image
    for name, value in job.input.items():
        yield name, _value(value) + (" (ours)" if name == "seed" and job.own_seed else "")
    yield "version", job.version
    for name, text in job.labels.items():
        yield "label", f"{name}={text}"
    if job.priority:
        yield "priority", str(job.priority)


def _attempt(attempt: Attempt, dossier: Dossier) -> Iterator[tuple[str, str]]:
    prediction = f", prediction {attempt.prediction_id}" if attempt.prediction_id else ""
    yield f"attempt {attempt.number}", f"{attempt.phase}{prediction}, on account {attempt.account}"
    yield "", ", ".join(f"{word} {waits.moment(when)}" for word, when in _times(attempt))
    if attempt.error_class or attempt.error_message:
        yield "", ": ".join(filter(None, (attempt.error_class, attempt.error_message)))
    if attempt.cancel_refused:
        yield "", f"could not be canceled: {attempt.cancel_refused}"
    if attempt.possibly_paid:
        yield "", _in_doubt(attempt, dossier)
    if attempt.predict_time is not None or attempt.cost is not None:
        yield "", _consumed(attempt)
    if differing := _differing(attempt.input, dossier.job.input):
        yield "", f"sent with {differing}"


def _in_doubt(attempt: Attempt, dossier: Dossier) -> str:
    """Describe a send whose outcome nobody can tell, and whether the job was bought again, or will be."""
    if any(one.number > attempt.number for one in dossier.attempts):
        return "possibly paid: bought again without proof that this one was not"
    unknown = "possibly paid: nobody can tell whether it was bought"
    if attempt.phase is Phase.ABSENT:
        return f"{unknown}; {'given up since' if dossier.job.state in FINAL else 'to be bought again'}"
    return f"{unknown}; bought again only when a person asks"


def _times(attempt: Attempt) -> Iterator[tuple[str, Any]]:
    moments = {
        "intended": attempt.intended_at,
        "sent": attempt.sent_at,
        "accepted": attempt.accepted_at,
        "produced": attempt.produced_at,
        "absent": attempt.absent_at,
        "cancel sent": attempt.cancel_sent_at,
        "ended": attempt.finished_at,
    }
    return ((word, when) for word, when in moments.items() if when)


def _consumed(attempt: Attempt) -> str:
    time = [] if attempt.predict_time is None else [f"ran {attempt.predict_time:g} s"]
    cost = [] if attempt.cost is None else [f"cost {attempt.cost:g}"]
    return ", ".join(time + cost)


def _differing(sent: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the inputs that were sent with another value than the job has now."""
    names = [name for name in sent if sent[name] != now.get(name)]
    return ", ".join(f"{name} {_value(sent[name])}" for name in names)


def _file(file: File, output: Path) -> str:
    if file.path is None:
        return f"image {file.index} has not been fetched yet"
    path = output / file.path
    missing = ", no longer there" if presence.is_gone(path) else ""
    return (
        f"{path}, {file.width} x {file.height} {file.media_type}, {file.bytes:,} bytes, sha256 {file.sha256}"
        + missing
    )


def _dropped(dossier: Dossier) -> Iterator[tuple[str, str]]:
    """Say it if the job succeeded with fewer images than it asked for."""
    asked = dossier.job.input.get("num_outputs", 1)
    came = sum(file.attempt_id == dossier.job.attempt_id for file in dossier.files)
    if dossier.job.state is State.SUCCEEDED and came < asked:
        yield "", f"{asked - came} more asked for and dropped by the safety check"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
