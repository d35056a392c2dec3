"""`overnight pause`: stop buying; what is in flight is still fetched."""

import click

from jobs.settings import Settings
from overnight import options
from overnight.display import words


@click.command()
@click.argument("batch", required=False)
@click.option("--all", "every", is_flag=True, help="Every batch that has begun and is not finished.")
@options.with_settings
def command(settings: Settings, batch: str | None, every: bool) -> None:
    """Pause BATCH until `overnight resume`: nothing more of it is bought."""
    from jobs.batches import PauseReason
    from jobs.by_hand import buying
    from jobs.selecting import lookup
    from overnight import flags, opened

    if bool(batch) == every:
        raise click.UsageError("Name a BATCH, or use --all.")
    with opened.database(settings) as db, db.write() as tx:
        chosen = buying.working(tx) if every else [lookup.batch(tx, batch or "")]
        paused = [(one, buying.pause(tx, one)) for one in chosen]
    if not paused:
        words.say("no batch is being worked on")
    for one, changed in paused:
        if not changed and one.pause_reason is not PauseReason.PERSON:
            words.say(
                f"{one.name}: nothing is left to pause, every job has ended; the batch is left as it is"
            )
            continue
        how = "paused; what is in flight is still fetched" if changed else "already paused"
        words.say(f"{one.name}: {how}. To go on: {flags.command(settings, 'resume', one.name, batch=one)}")
