"""`overnight status`: how far each batch is, or all about one: counts, failures, what limits it, where things are."""

from typing import TYPE_CHECKING

import click

from jobs import figures, texts
from jobs.settings import Settings
from overnight import options

if TYPE_CHECKING:  # all of it loads SQLAlchemy, and `--help` must not
    from jobs.database import Database
    from jobs.reports.limits import Limit
    from jobs.reports.results import Harvest
    from jobs.reports.status import Overview, Progress


@click.command()
@click.argument("name", metavar="[BATCH]", required=False)
@click.option("-w", "--watch", is_flag=True, help="Keep showing it until the batch is finished.")
@options.as_json
@options.with_settings
def command(settings: Settings, name: str | None, *, watch: bool, as_json: bool) -> int | None:
    """Say how far every batch is, or everything about one.

    \b
    overnight status            every batch, a line each
    overnight status cats       one batch: failures, what it waits for, where its images are
    overnight status cats -w    the same, kept up to date; Ctrl-C ends the display and nothing else
    """
    from overnight import opened

    if watch and as_json:
        raise click.UsageError("--watch and --json do not go together.")
    with opened.database(settings) as database:
        if watch:
            return _watch(database, settings, name)
        if name is None:
            _show_all(database, settings, as_json=as_json)
        else:
            _show(database, settings, name, as_json=as_json)
    return None


def _show_all(database: "Database", settings: Settings, *, as_json: bool) -> None:
    from jobs.reports import status
    from jobs.settings import places
    from overnight import flags, onlooker
    from overnight.display import data, plain, summary, words

    with database.read() as tx:
        rows = status.overview(tx)
        known = onlooker.at_a_glance(tx, rows, settings)
    if as_json:
        data.document([plain.glance(row, limit) for row, limit in zip(rows, known, strict=True)])
    elif rows:
        head = ("batch", "state", "jobs", "succeeded", "failed", "cancelled", "under way", "pending", "now")
        click.echo("\n".join(summary.aligned([head, *map(_row, rows, known)])))
    else:
        begin = flags.command(settings, "run", "MANIFEST")
        words.say(f"{places.shown(settings.database_url)} holds no batch yet; type: {begin}")


def _row(row: "Overview", limit: "Limit | None") -> tuple[str, ...]:
    from jobs.states import BatchState, State

    counts, state = row.counts, row.batch.state
    ended = (counts.of(one) for one in (State.SUCCEEDED, State.FAILED, State.CANCELLED))
    numbers = counts.total, *ended, counts.under_way, counts.of(State.PENDING)
    shown = "finished" if row.finished and state is not BatchState.CANCELLED else state
    now = "" if row.finished or limit is None else limit.text
    return (row.batch.name, shown, *map(str, numbers), now)


def _show(database: "Database", settings: Settings, name: str, *, as_json: bool) -> None:
    from jobs import hints
    from jobs.reports import results, status
    from jobs.selecting import lookup
    from overnight import flags, onlooker
    from overnight.display import data, plain

    with database.read() as tx:
        batch = lookup.batch(tx, name)
        progress = status.progress(tx, batch.id)
        harvest = results.harvest(tx, batch.id)
        missed = hints.missed(tx, progress.at) if settings.webhook_url else ""
    typed = flags.typed(settings, batch)
    limit = onlooker.limit(progress, settings, typed)
    if as_json:
        data.document(plain.detail(progress, harvest, limit, settings, typed))
    else:
        # Escaped one by one: a line end in foreign text would otherwise make the rest look like a line of ours.
        told = _detail(progress, harvest, limit, settings, typed, missed)
        click.echo("\n".join(map(texts.printable, told)))


def _detail(
    progress: "Progress", harvest: "Harvest", limit: "Limit", settings: Settings, typed: str, missed: str
) -> list[str]:
    from jobs.reports import limits
    from jobs.settings import places
    from overnight.display import summary

    batch = progress.batch
    in_doubt = "" if limit.deserted or limit.kind is limits.Kind.LOOK_UPS else limits.look_ups(progress)
    return [
        *summary.headline(progress),
        f"now      {limit}" + (f"; {in_doubt}" if in_doubt else ""),
        *summary.failure_table(progress, harvest, typed),
        *summary.harvested(progress, harvest, settings, typed),
        f"api      {batch.api}",
        *_accounts(progress),
        *(_workers(progress, settings) if settings.broker_url else []),
        *([f"webhooks {missed}"] if missed else []),
        f"manifest {batch.manifest_path or 'stdin'}",
        f"database {places.shown(settings.database_url)}",
        *(
            f"{figures.moment(event.at)}  {event.kind}: {event.detail}".rstrip(": ")
            for event in progress.events
        ),
    ]


def _workers(progress: "Progress", settings: Settings) -> list[str]:
    """Return when they last told that they live, since one that was killed tells nothing, and what is wrong."""
    from jobs.reports import desertion
    from jobs.settings import written

    if progress.seen_at is None:
        return []
    ago = max(0.0, (progress.at - progress.seen_at).total_seconds())
    often = written.as_duration(settings.times.schema)
    told = f"last heard of {written.as_duration(ago)} ago; each tells every {often} that it lives"
    return [f"workers  {line}" for line in (told, desertion.unlike_workers(progress)) if line]


def _accounts(progress: "Progress") -> list[str]:
    """Return a line for each account that may buy the batch, where they have names."""
    return [
        f"account  {one.label}: {one.in_flight} in flight"
        + ("" if one.breaker.is_closed else f"; {one.breaker.state}: {one.breaker.reason}")
        for one in sorted(progress.accounts, key=lambda one: one.label or "")
        if one.label
    ]


def _watch(database: "Database", settings: Settings, name: str | None) -> int:
    """Show one batch as it goes on, then its summary; return the exit code that says how it ended."""
    import time

    from jobs.reports import limits, results, status
    from overnight import flags, onlooker
    from overnight.display import bar, live, summary

    batch_id = _watched(database, name)
    with bar.choose(quiet=False) as shown:
        while True:
            began = time.monotonic()
            with database.read() as tx:
                progress = status.progress(tx, batch_id)
            typed = flags.typed(settings, progress.batch)
            limit = onlooker.limit(progress, settings, typed)
            shown.quota = limits.in_force(progress, settings).creates_per_minute
            shown.update(progress, limit, began)
            if progress.finished:
                break
            time.sleep(live.rest(time.monotonic() - began))
    with database.read() as tx:
        harvest = results.harvest(tx, batch_id)
    summary.tell(progress, harvest, settings, flags=typed)
    return summary.exit_code(progress)


def _watched(database: "Database", name: str | None) -> int:
    """Return the batch to watch: the one that is named, or the only one that is not finished."""
    from jobs import errors
    from jobs.reports import status
    from jobs.selecting import lookup

    with database.read() as tx:
        if name is not None:
            return lookup.batch(tx, name).id
        unfinished = status.unfinished(tx)
    if len(unfinished) != 1:
        listed = ", ".join(batch.name for batch in unfinished) or "none"
        raise errors.Mistake(f"name the batch to watch; not finished: {listed}")
    return unfinished[0].id
