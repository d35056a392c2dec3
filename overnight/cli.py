"""The `overnight` command: its verbs, and how errors become exit codes. Each verb is in `commands`.

Nothing heavy is imported here, so that `overnight --help` answers at once.
"""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from jobs import errors, texts
from overnight import exits, lazy
from overnight.display import words

SECTIONS = {
    "Prepare": {
        "check": "validate a manifest; say plan and price; write nothing",
        "rehearse": "run a manifest in minutes against a made-up API; say what would happen",
        "load": "put a manifest's jobs into the database; buy nothing",
        "example": "print a manifest to start from",
    },
    "Run": {
        "run": "load a manifest, buy its jobs, fetch the images; run it again to go on",
    },
    "Look": {
        "status": "how far each batch is, and what it is waiting for",
        "jobs": "list jobs, filtered",
        "show": "everything about one job, prediction or picture",
        "export": "write results, or a new manifest, as CSV or JSON lines",
    },
    "Mend": {
        "retry": "run failed jobs again",
        "pause": "stop buying; what is in flight is still fetched",
        "resume": "go on buying",
        "cancel": "give up jobs, or a whole batch",
        "quota": "what the account may use and uses; change it without a restart",
    },
    "Serve": {
        "worker": "do the work; any number, on any number of hosts",
        "scheduler": "decide what is due and hand it to the workers",
        "webhook": "have the API call when a prediction ends, so that it is looked at soon",
        "sandbox": "serve a made-up API to rehearse against",
        "db": "upgrade or check the database",
        "doctor": "check the installation: what is wrong, and what to do about it",
    },
}


@click.group(
    cls=lazy.LazyGroup,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="In the evening: overnight run manifest.csv",
)
@click.version_option(package_name="overnight", message="%(prog)s %(version)s")
def group() -> None:
    """Run img2img predictions by the hundred thousand, unattended."""


def main(args: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    _open_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the locale cannot write is no reason to stop
        sys.stdout.reconfigure(errors="backslashreplace")
    code = _exit_code(args)
    words.end()
    sys.exit(code)


def _open_standard_streams() -> None:
    """Open those that are closed, or the next file, perhaps a database, would get their number and all that is said."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  it stays


def _exit_code(args: Sequence[str] | None) -> int:
    """Run one command; this is the only place where an error becomes a message and an exit code."""
    try:
        for word in sys.argv[1:] if args is None else args:
            texts.check(word)
        code = group.main(args, prog_name="overnight", standalone_mode=False) or exits.Exit.NONE_FAILED
    except errors.OvernightError as error:
        words.complain(str(error))
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return exits.Exit.MISTAKE
    except (click.Abort, KeyboardInterrupt):
        words.complain("interrupted")
        return exits.Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last resort: a traceback belongs in the log, not in the terminal
        return _bug(error)
    return int(code)


def _bug(error: Exception) -> int:
    """Log the traceback and say where it is; print it only if the log cannot be written."""
    import structlog

    from jobs import logs

    if not logs.configured():
        logs.to_file(Path.cwd() / "overnight.log")
    structlog.get_logger("overnight").error("bug", exc_info=error)
    if logs.broken():
        traceback.print_exception(error)
    first_line = f"{type(error).__name__}: {error}".splitlines()[0]
    words.complain(f"a bug: {first_line} (traceback: {logs.destination() or 'above'})")
    return exits.Exit.BUG
