"""`overnight rehearse`: tonight's manifest, in compressed time, against a hostile sandbox. Buys nothing."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from jobs.settings import Settings
from overnight import options
from overnight.exits import Exit
from sandbox import profiles


def _seconds(_context: click.Context, _option: click.Parameter, text: str) -> float:
    from jobs.settings import written

    try:
        return written.duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.argument("manifest")
@options.manifest
@click.option(
    "--profile",
    type=click.Choice(list(profiles.PROFILES)),
    default="hostile",
    show_default=True,
    help="What kind of API to rehearse against; `overnight sandbox --help` describes them.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Seed of the faults: the same ones again, for rows that have seeds of their own.",
)
@click.option(
    "--within",
    metavar="TIME",
    default="10m",
    show_default=True,
    callback=_seconds,
    help="When to stop at the latest and say what is known by then, as Ctrl-C does.",
)
@options.as_json
@options.quiet
@options.when_unconfirmed
def command(
    manifest: str,
    *,
    profile: str,
    seed: int,
    within: float,
    as_json: bool,
    quiet: bool,
    when_unconfirmed: str | None,
    **given: Any,
) -> Exit:
    """Run MANIFEST in compressed time against a made-up API, and say what would happen. Buys and keeps nothing.

    \b
    overnight rehearse tonight.csv                     how long, how much, what fails, if much goes wrong
    overnight rehearse tonight.csv --limit 500         the same for the first 500 rows
    overnight rehearse tonight.csv --profile replicate if all goes well
    overnight rehearse tonight.csv --within 1h         a large one to its end: about 3,000 jobs a minute
    """
    from overnight.display import data, words
    from overnight.rehearsal import rehearsed

    with _throw_away(when_unconfirmed) as settings:
        code, foretold = rehearsed.night(
            settings, manifest, given, profile=profile, seed=seed, within=within, quiet=quiet
        )
        if as_json:
            data.document(foretold.as_json())
        else:
            click.echo(words.printable("\n".join(foretold.lines())))
        return code


@contextmanager
def _throw_away(when_unconfirmed: str | None) -> Iterator[Settings]:
    """Yield settings that keep everything in a temporary folder, which is removed at the end."""
    from jobs import logs, settings

    with tempfile.TemporaryDirectory(prefix="overnight-rehearsal-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        chosen = settings.load(
            f"sqlite:///{folder}/rehearsal.db", str(folder / "outputs"), "sandbox", when_unconfirmed
        )
        logs.to_file(chosen.log_path, chosen.secrets)
        try:
            yield chosen
        except Exception:
            # A traceback must outlive the folder.
            logs.to_file(Path("overnight.log").resolve(), chosen.secrets)
            raise
