"""`overnight sandbox`: a made-up API, as a program that one can start, abuse and kill."""

from pathlib import Path
from typing import Any

import click

from jobs import errors
from sandbox import faults, profiles
from sandbox.options import Options


def _faults(_context: click.Context, _option: click.Parameter, written: tuple[str, ...]) -> dict[str, float]:
    try:
        return dict(faults.parse(text) for text in written)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_EPILOG = "\b\nFaults:\n" + "\n".join(f"{name:18}{meaning}" for name, meaning in faults.MEANINGS.items())
_PROFILES = "; ".join(f"{name}: {meaning}" for name, meaning in profiles.MEANINGS.items())


@click.command(epilog=_EPILOG)
@click.option("--host", default=Options.host, show_default=True, help="Address to listen on.")
@click.option("--port", default=Options.port, show_default=True, help="0: any free port.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default="sandbox-state",
    show_default=True,
    help="Folder of the ledger and the pictures; a restart goes on from it.",
)
@click.option("--latency", default=Options.latency, show_default=True, help="Median run time in seconds.")
@click.option(
    "--create-seconds",
    default=Options.create_seconds,
    show_default=True,
    help="Seconds from accepting a create to its answer.",
)
@click.option(
    "--creates-per-minute", default=Options.creates_per_minute, show_default=True, help="0: no limit."
)
@click.option("--reads-per-minute", default=Options.reads_per_minute, show_default=True, help="0: no limit.")
@click.option(
    "--profile",
    type=click.Choice(list(profiles.PROFILES)),
    default=Options.profile,
    show_default=True,
    help=f"{_PROFILES}.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME=SHARE",
    callback=_faults,
    help="Such as exec_and_drop=0.05 or redirect:loop=0.05; may be repeated, and overrides the profile's.",
)
@click.option(
    "--seed", default=Options.seed, show_default=True, help="Seed of the faults: one seed, one plan."
)
@click.option(
    "--heal-after",
    default=Options.heal_after,
    show_default=True,
    help="Seconds until every fault is off; 0: never.",
)
@click.option(
    "--lifetime",
    default=Options.lifetime,
    show_default=True,
    help="Seconds until inputs and outputs are wiped.",
)
@click.option(
    "--late", default=Options.late, show_default=True, help="Seconds until a late_exec is accepted."
)
@click.option(
    "--lag", default=Options.lag, show_default=True, help="Seconds for which vanish and list_… last."
)
@click.option(
    "--low-credit",
    default=Options.low_credit,
    show_default=True,
    help="Creates a minute while credit is low; 0: no limit.",
)
@click.option(
    "--outage", default=Options.outage, show_default=True, help="Seconds of an outage; 0: until healed."
)
@click.option(
    "--wait", default=Options.wait, show_default=True, help="Least seconds that a 429 asks to wait."
)
@click.option(
    "--webhook-secret",
    default=Options.webhook_secret,
    show_default=True,
    help="What webhooks are signed with.",
)
@click.option("--output-size", default=Options.output_size, show_default=True, help="Longest side in pixels.")
@click.option(
    "--output-seconds",
    default=Options.output_seconds,
    show_default=True,
    help="Seconds that it takes to send an output.",
)
def command(**given: Any) -> None:
    """Serve a made-up API to rehearse against; nothing is bought, any token will do."""
    from sandbox import server

    try:
        server.serve(Options(**given))
    except ValueError as error:
        raise errors.Mistake(f"sandbox: {error}") from None
    except OSError as error:
        place = error.filename or f"{given['host']}:{given['port']}"
        raise errors.Unavailable(f"sandbox: {place}: {error.strerror}") from None
