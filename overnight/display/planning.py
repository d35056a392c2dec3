"""What a command says before and after it loads a manifest, put together from the settings and the surroundings."""

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import click

from jobs import accounts, batches, errors, figures, names, presence, purchases
from jobs.accounts import attendance, quota
from jobs.batches import Batch
from jobs.database import Database
from jobs.loading.difference import Difference
from jobs.loading.loader import Loaded
from jobs.loading.targets import Target
from jobs.manifest.validated import Validated
from jobs.purchases import Purchases
from jobs.reports import results
from jobs.reports.plan import Plan
from jobs.selecting import globs
from jobs.settings import Settings, buyers, cautions, folders, places
from overnight import flags
from overnight.display import advised, stored
from worker.transfers import room

_ENOUGH = 10_000  # files in a folder; more are not counted
_NEXT = 20  # jobs whose images are looked for: what an older database would buy again comes first


def before(
    settings: Settings, db: Database | None, read: Validated, target: Target, found: Difference
) -> Plan:
    """Return the plan of what a run will buy."""
    settings = folders.at_batch(buyers.for_api(settings, target.api), target.output)
    return _plan(
        _in_force(settings, db, target.account),
        target.account,
        batch=target.name,
        difference=found,
        pictures=found.pictures,
        when_unconfirmed=_when_unconfirmed(settings, target),
        can_look_up=_can_look_up(settings, db),
        warnings=(
            *cautions.of(settings),
            *read.warnings.lines(),
            *_token(settings, target.account),
            *unknown(settings, db, target.name),
            *_elsewhere(settings, db, target.name),
            *_set_back(settings, db, target.name),
        ),
    )


def _when_unconfirmed(settings: Settings, target: Target) -> str:
    """Return what becomes of lost answers: one `hold` is enough, the batch's or that of whoever buys."""
    return "hold" if "hold" in {target.when_unconfirmed, settings.when_unconfirmed} else "resubmit"


def _can_look_up(settings: Settings, db: Database | None) -> bool | None:
    """Return what is known of the API: some account may have asked for its list already."""
    if db is None:
        return None
    with db.read() as tx:
        return accounts.can_look_up([one for one in accounts.every(tx) if one.api == settings.api.identity])


def going_on(settings: Settings, db: Database, batch: Batch, left: Purchases) -> Plan:
    """Return the plan for buying what is left of a batch."""
    return _plan(
        _in_force(settings, db, batch.account),
        batch.account,
        batch=batch.name,
        difference=Difference(jobs=left.jobs, images=left.images, unagreed=left.unagreed),
        pictures=Counter(),
        when_unconfirmed=settings.when_unconfirmed,
        warnings=(*_elsewhere(settings, db, batch.name), *_set_back(settings, db, batch.name)),
    )


def unknown(settings: Settings, db: Database | None, name: str) -> list[str]:
    """Warn if a new batch's folder has files: they may be its images, of which another database knows."""
    taken = set()
    if db is not None:
        with db.read() as tx:
            if batches.find(tx, name):
                return []
            taken = {one.folder for one in batches.every(tx)}
    folder = settings.output / names.folder(name, taken)
    if not (found := stored.files(folder, _ENOUGH)):
        return []
    counted = figures.counted(found, "file") + (" or more" if found == _ENOUGH else "")
    there = f"{folder} has {counted} already, but this database does not know batch {name}"
    return [
        f"{there}: every row is bought, even if its image is among them; was it run with another database?"
    ]


def _elsewhere(settings: Settings, db: Database | None, name: str) -> list[str]:
    """Warn if a batch's next images would go into another folder than those that it has."""
    if db is None:
        return []
    with db.read() as tx:
        batch = batches.find(tx, name)
        path = results.image_of(tx, batch.id) if batch else None
    if batch is None or path is None or not presence.is_gone(settings.output / path):
        return []
    gone = f"image {path} is not in {settings.output}, where the next ones go"
    before = folders.last(settings, batch.output)
    if before != settings.output:
        return [f"{gone}; it was stored in {before}, and --output {shlex.quote(str(before))} goes on there"]
    doubt = "" if batch.output else " (was --output another folder?)"
    anew = advised.bought_anew(settings.output / batch.folder, name, flags.typed(settings))
    return [f"{gone}{doubt}; {anew}"]


def _set_back(settings: Settings, db: Database | None, name: str) -> list[str]:
    """Warn if what is bought next has its image: then it was bought, and the database is older than that."""
    if db is None:
        return []
    with db.read() as tx:
        batch = batches.find(tx, name)
        wanted = purchases.first(tx, batch, _NEXT) if batch else []
    folder = settings.output / (batch.folder if batch else "")
    there = next((key for key, stem in wanted if stored.has_image(folder / stem)), None)
    if there is None:
        return []
    image = f"{folder} has an image of {name}/{there}, which this database has not bought"
    asked = "is it a backup, or was the batch run with another?"
    return [f"{image}: {asked} What the API's list does not show of that any more is bought again"]


def _in_force(settings: Settings, db: Database | None, label: str | None) -> Settings:
    """Return the settings in force for the accounts that buy, with their quotas added up."""
    try:
        held = len(buyers.may_buy(settings, label))
    except errors.Mistake:  # reported by `_token`; or workers have the tokens
        held = 1
    each = [quota.in_force(settings, own) for own in _own_limits(settings, db, label)]
    each += [settings] * (held - len(each))
    rates = [one.creates_per_minute for one in each]
    return settings.model_copy(
        update={
            "creates_per_minute": None if None in rates else sum(rate for rate in rates if rate),
            "max_in_flight": sum(one.max_in_flight for one in each),
        }
    )


def _own_limits(settings: Settings, db: Database | None, label: str | None) -> list[quota.OwnLimits]:
    """Return the own limits of each account that some worker has; none if no worker was ever there."""
    if db is None:
        return []
    with db.read() as tx:
        present = [seat.account for seat in attendance.seats(tx)]
    here = [one for one in present if one.api == settings.api.identity]
    return [one.own_limits for one in here if label in {None, one.label}]


def _plan(settings: Settings, account: str | None, **known: Any) -> Plan:
    return Plan(
        api=settings.api.name,
        api_url=settings.api.url,
        api_reason=_api_reason(settings, account),
        database=_database(settings),
        output=str(settings.output),
        creates_per_minute=settings.creates_per_minute,
        max_in_flight=settings.max_in_flight,
        free_bytes=_free(settings.output),
        price=settings.price,
        flags=flags.typed(settings),
        **known,
    )


def dated(target: Target) -> list[str]:
    """Return the line that says that a batch of an earlier day goes on, if it does."""
    if target.instead_of is None:
        return []
    earlier = f"{target.name}, which this same manifest began and which is not finished"
    return [f"going on with {earlier}; {target.instead_of} is not begun"]


def after(settings: Settings, loaded: Loaded) -> list[str]:
    """Return the result of loading, and what to do about rows that it could not change."""
    told = [f"{loaded.batch.name}: {loaded.difference.line()}"]
    unusable = loaded.difference.unusable
    if mistaken := loaded.difference.broken - unusable:
        told.append(f"{figures.counted(mistaken, 'row')} with a mistake: failed, class invalid-input")
    if unusable:
        told.append(
            f"{figures.counted(unusable, 'row')} without a usable picture: failed, class input-unreadable"
        )
    if loaded.updated:
        told.append(f"{figures.counted(loaded.updated, 'row')} changed as edited")
    if loaded.kept_key is not None:
        again = flags.command(settings, "retry", loaded.batch.name, "--key", globs.exactly(loaded.kept_key))
        told.append(
            f"{_differ(loaded.kept)} from what was bought, which stays as it is; "
            f"to buy such a job as its row is now, load the manifest with --update after: {again}"
        )
    return told


def _differ(rows: int) -> str:
    return f"{figures.counted(rows, 'row')} {'differs' if rows == 1 else 'differ'}"


def _api_reason(settings: Settings, account: str | None) -> str:
    if account in {one.label for one in settings.accounts}:
        return f"account {account}"
    if click.get_current_context().params.get("api"):
        return "--api"
    return "OVERNIGHT_API_URL" if "api" in settings.model_fields_set else "the default"


def _database(settings: Settings) -> str:
    missing = settings.database_path is not None and not presence.found(settings.database_path)
    return places.shown(settings.database_url) + (", to be made" if missing else "")


def _free(output: Path) -> int | None:
    try:
        return room.free_bytes(output)
    except OSError:
        return None


def _token(settings: Settings, label: str | None) -> list[str]:
    try:
        buyers.may_buy(settings, label)
    except errors.Mistake as missing:
        return [str(missing)]
    return []
