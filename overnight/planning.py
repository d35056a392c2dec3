"""What a command says before and after it loads a manifest, put together from the settings and the surroundings."""

import shlex
import shutil
from pathlib import Path

import click

from jobs import errors, globs, places
from jobs.difference import Difference, Target
from jobs.loading import Loaded
from jobs.manifest.validated import Validated
from jobs.plan import Plan
from jobs.settings import Settings
from overnight import flags


def before(settings: Settings, read: Validated, target: Target, found: Difference) -> Plan:
    """Return the plan of what a run will buy."""
    return Plan(
        batch=target.name,
        api=settings.api.name,
        api_url=settings.api.url,
        api_reason=_api_reason(settings),
        database=_database(settings),
        output=str(settings.output),
        difference=found,
        pictures=read.images,
        creates_per_minute=settings.creates_per_minute,
        max_in_flight=settings.max_in_flight,
        free_bytes=_free(settings.output),
        price=settings.price,
        when_unconfirmed=settings.when_unconfirmed,
        warnings=(*settings.warnings(), *read.warnings.lines(), *_token(settings)),
    )


def after(settings: Settings, loaded: Loaded) -> list[str]:
    """Return what loading came to, and what can be done about rows that it could not change."""
    told = [f"{loaded.batch.name}: {loaded.difference.line()}"]
    if loaded.difference.broken:
        told.append(f"{_rows(loaded.difference.broken)} with a mistake: failed, class invalid-input")
    if loaded.updated:
        told.append(f"{_rows(loaded.updated)} changed as edited")
    if loaded.kept_key is not None:
        again = ["overnight", "retry", loaded.batch.name, "--key", globs.exactly(loaded.kept_key)]
        told.append(
            f"{_rows(loaded.kept)} edited after they were bought, and left as they are; to buy such a one anew: "
            f"{shlex.join(again)} {flags.typed(settings)}".rstrip()
            + ", then load the manifest with --update again"
        )
    return told


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _api_reason(settings: Settings) -> str:
    if click.get_current_context().params.get("api"):
        return "--api"
    return "OVERNIGHT_API_URL" if "api" in settings.model_fields_set else "the default"


def _database(settings: Settings) -> str:
    missing = settings.database_path is not None and not settings.database_path.exists()
    return places.shown(settings.database_url) + (", to be made" if missing else "")


def _free(output: Path) -> int | None:
    """Return the free bytes where a folder is, or will be."""
    there = next(folder for folder in (output, *output.parents) if folder.exists())
    try:
        return shutil.disk_usage(there).free
    except OSError:
        return None


def _token(settings: Settings) -> list[str]:
    try:
        settings.require_token()
    except errors.Mistake as missing:
        return [str(missing)]
    return []
