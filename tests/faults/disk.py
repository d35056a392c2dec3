"""Check that each paid image is on disk as the API delivered it, and nothing else: I5, I6 and I12, from files."""

import base64
import hashlib
import urllib.parse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs import errors, images
from jobs.states import State
from tests.faults.evidence import Evidence, Line
from tests.faults.report import Finding


def files_are_the_apis(seen: Evidence) -> Finding:
    """Every output of every job that succeeded is there, whole, and as the API made it."""
    rows = defaultdict(list)
    for row in seen.outputs:
        rows[row.attempt_id].append(row)
    against, looked_at = [], 0
    for job in seen.jobs:
        if job.state == State.SUCCEEDED:
            looked_at += 1
            against += [f"{job.key}: {words}" for words in _wrong(seen, job, rows[job.attempt_id])]
    return Finding("I5", "every success has its files, as the API made them", looked_at, tuple(against))


def _wrong(seen: Evidence, job: Any, rows: list[Any]) -> Iterator[str]:
    attempt = next((one for one in seen.attempts if one.id == job.attempt_id), None)
    line = seen.lines.get(attempt.prediction_id) if attempt else None
    if line is None:
        yield "succeeded, and nothing was bought"
        return
    if sorted(row.index for row in rows) != list(range(int(line["input"].get("num_outputs", 1)))):
        yield f"{len(rows)} outputs"
    for row in rows:
        yield from _wrong_file(seen, row, line)


def _wrong_file(seen: Evidence, row: Any, line: Line) -> Iterator[str]:
    try:
        content = (seen.output / row.path).read_bytes() if row.path else b""
        facts = images.inspect(content)
    except (OSError, errors.NotAnImage) as error:
        yield f"{row.path}: {error}"
        return
    told = (row.bytes, row.sha256, row.width, row.height)
    if told != (len(content), hashlib.sha256(content).hexdigest(), facts.width, facts.height):
        yield f"{row.path}: not what its row says"
    if seen.terms.served and (original := seen.terms.served(line, row.index)) not in {None, content}:
        yield f"{row.path}: not the {len(original or b'')} bytes that the API delivers"


def no_other_files(seen: Evidence) -> Finding:
    """Every file has its row; what an interrupted download left behind has been swept."""
    listed = {row.path for row in seen.outputs if row.path}
    here = {path.relative_to(seen.output).as_posix() for path in seen.output.rglob("*") if path.is_file()}
    return Finding("I6", "no file is without its row", len(here), tuple(sorted(here - listed)))


def no_secret_anywhere(seen: Evidence) -> Finding:
    """The token is in no file that the night wrote: database, log, outputs, terminal output."""
    if not (seen.terms.secret and seen.terms.folder):
        return Finding("I12", "the token is in no file", 0)
    secret = seen.terms.secret.encode()
    forms = {secret, base64.b64encode(secret).rstrip(b"="), urllib.parse.quote(secret, safe="").encode()}
    files = [path for path in seen.terms.folder.rglob("*") if path.is_file()]
    leaks = [str(path) for path in files if any(form in _content(path) for form in forms)]
    return Finding("I12", "the token is in no file", len(files), tuple(leaks))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # one of a server's, which come and go
        return b""
