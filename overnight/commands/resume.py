"""`overnight resume`: go on buying after a pause."""

import click

from jobs.settings import Settings
from overnight import options
from overnight.display import words


@click.command()
@click.argument("batch", required=False)
@click.option("--all", "every", is_flag=True, help="Every paused batch.")
@options.with_settings
def command(settings: Settings, batch: str | None, every: bool) -> None:
    """Open BATCH again, whoever or whatever paused it; a blocked account is tried at once."""
    from jobs import batches
    from jobs.by_hand import buying
    from jobs.selecting import lookup
    from jobs.states import BatchState
    from overnight import opened
    from overnight.display import doers

    if bool(batch) == every:
        raise click.UsageError("Name a BATCH, or use --all.")
    with opened.database(settings) as db, db.write() as tx:
        paused = [one for one in batches.every(tx) if one.state is BatchState.PAUSED]
        chosen = paused if every else [lookup.batch(tx, batch or "")]
        resumed = [(buying.resume(tx, one), batches.get(tx, one.id)) for one in chosen]
        ended = {one.id for _, one in resumed if batches.has_ended(tx, one)}
    if not resumed:
        words.say("no batch is paused")
    for changed, one in resumed:
        how = "open again" if changed else "not paused"
        then = "Every job has ended." if one.id in ended else doers.of_purchases(settings, one)
        words.say(f"{one.name}: {how}. {then}")
