"""`overnight sandbox`: a made-up API, as a program that one can start, abuse and kill."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from jobs import errors
from overnight import options
from sandbox import faults, profiles
from sandbox.options import Options


def _faults(_context: click.Context, _option: click.Parameter, written: tuple[str, ...]) -> dict[str, float]:
    try:
        return dict(faults.parse(text) for text in written)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_EPILOG = "\b\nFaults:\n" + "\n".join(f"{name:18}{meaning}" for name, meaning in faults.MEANINGS.items())
_PROFILES = "; ".join(f"{name}: {meaning}" for name, meaning in profiles.MEANINGS.items())


def _fields(command: options.Decorated) -> options.Decorated:
    """Add an option for each field of `Options` that has a line of help."""
    for field in reversed(dataclasses.fields(Options)):
        if told := field.metadata.get("help"):
            name = f"--{field.name.replace('_', '-')}"
            command = click.option(name, default=field.default, show_default=True, help=told)(command)
    return command


@click.command(epilog=_EPILOG)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default="sandbox-state",
    show_default=True,
    help="Folder of the ledger and the pictures; a restart goes on from it.",
)
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
@_fields
def command(**given: Any) -> None:
    """Serve a made-up API to rehearse against; nothing is bought, any token will do."""
    from sandbox import server

    try:
        server.serve(Options(**given))
    except ValueError as error:
        raise errors.Mistake(f"sandbox: {error}") from None
    except OSError as error:
        place = error.filename or f"{given['host']}:{given['port']}"
        other = "--state" if error.filename else "--host or --port"
        raise errors.Unavailable(f"sandbox: {place}: {error.strerror}; choose another {other}") from None
