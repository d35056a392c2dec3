"""Check that images can be stored, and that there is room for them and for the database; creates no folder."""

from collections.abc import Iterator
from contextlib import nullcontext

from jobs import errors, figures, presence
from jobs.reports import results
from jobs.settings import Settings, folders
from overnight import flags, opened
from overnight.doctor import findings
from overnight.doctor.findings import Finding
from worker.transfers import folder, room

_SAMPLE = 200  # images; with several workers, each has stored some of them
_ELSEWHERE = "a worker stores elsewhere; mount one folder for all hosts, and look for these images on theirs"
_LITTLE = 1_000_000_000  # bytes: a few hundred images of a megapixel


def look(settings: Settings) -> Iterator[Finding]:
    """Check the output folder and the disks; nothing is created."""
    yield from _output(settings)
    yield from _room(settings)


def _output(settings: Settings) -> Iterator[Finding]:
    try:
        if presence.found(settings.output):
            folder.require_writable(settings.output)
            told = "can be written to"
        else:
            with opened.found(settings) as db:
                folder.require_mounted(settings, db)
            folder.require_storable(settings.output)
            told = f"will be made by the first {'worker' if settings.broker_url else 'run'}"
    except errors.OvernightError as error:
        yield from findings.wrong("output", error)
        return
    yield findings.ok("output", f"{settings.output} {told}")
    yield from _stored(settings)


def _stored(settings: Settings) -> Iterator[Finding]:
    """Warn if images that were stored are not in the folder that is theirs by the settings here, or as it was kept."""
    try:
        with opened.found(settings) as db, db.read() if db else nullcontext() as tx:
            latest = results.latest_images(tx, _SAMPLE) if tx else []
    except errors.OvernightError:  # reported by the database's part
        return
    sought = [(folders.of_batch(settings, kept), folders.last(settings, kept), path) for kept, path in latest]
    missing = [(output, before) for output, before, path in sought if not presence.found(output / path)]
    if missing:
        output, before = missing[0]
        look = flags.command(settings, "status", "BATCH")
        lost = f"mount the disk that has them, or see what to type by {look}"
        if before != output:
            lost = f"look for them in {before}, where they were stored"
        yield findings.warning(
            "output",
            f"{len(missing)} of the {len(latest)} images stored last are not in {output}: unless you moved them "
            f"away, {_ELSEWHERE if settings.broker_url else lost}",
        )


def _room(settings: Settings) -> Iterator[Finding]:
    places = {"output": settings.output}
    if settings.database_path:
        places["database"] = settings.database_path
    for subject, place in places.items():
        yield judged(subject, room.free_bytes(place))


def judged(subject: str, free: int) -> Finding:
    """Judge how many bytes are free for something."""
    said = f"{figures.amount(free)} free"
    if free == 0:
        raise errors.Unavailable(f"the disk of the {subject} is full; make room")
    if free < _LITTLE:
        return findings.warning("room", f"{said} for the {subject}: little for a night; make room")
    return findings.ok("room", f"{said} for the {subject}")
