"""The options that several commands share.

`with_settings` gives a command `settings` instead of `--database --output --api`; `filters` gives it
`states classes labels keys match missing limit`, and `manifest` the fields of `manifests.Asked`.
"""

import csv
import difflib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from jobs import failures, states
from overnight import consent

Command = Callable[..., Any]
Decorated = TypeVar("Decorated", bound=Command)


class Pair(click.ParamType[tuple[str, str]]):
    """`NAME=VALUE`; the value may be empty and may contain more equals signs."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        name, sign, text = str(value).partition("=")
        if not sign or not name.strip():
            self.fail(f'"{value}" is not of the form NAME=VALUE', param, ctx)
        return name.strip(), text


class Word(click.Choice[str]):
    """One of many words; of a misspelt one only the nearest is named, not all."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        near = difflib.get_close_matches(str(value), self.choices, n=1)
        return (
            f'"{value}" is unknown; did you mean {near[0]}?'
            if near
            else super().get_invalid_choice_message(value, ctx)
        )


database = click.option(
    "--database", metavar="URL", help="sqlite:///FILE or postgresql://…  [default: sqlite:///overnight.db]"
)
output = click.option(
    "--output",
    metavar="FOLDER",
    help="Where images go.  [default: where the batch's are, at first outputs beside the database]",
)
api = click.option(
    "--api", metavar="NAME|URL", help="sandbox, quickrouter, replicate or a URL.  [default: quickrouter]"
)
account = click.option(
    "--account",
    metavar="NAME|any",
    help="Which of OVERNIGHT_ACCOUNTS buys; any: whichever has room.  [default: any]",
)
when_unconfirmed = click.option(
    "--when-unconfirmed",
    metavar="resubmit|hold",
    help="When nobody can tell whether a job was bought: buy it once more, or hold it.  [default: resubmit]",
)

state = click.option(
    "--state",
    "states",
    multiple=True,
    type=Word([str(s) for s in states.State]),
    help="Only jobs in this state; may be repeated.",
)
error_class = click.option(
    "--class",
    "classes",
    multiple=True,
    type=Word([str(c) for c in failures.FailureClass]),
    help="Only failures of this class; may be repeated.",
)
label = click.option(
    "--label",
    "labels",
    multiple=True,
    type=Pair(),
    help="Only jobs with this label; if repeated, with all of them.",
)
key = click.option(
    "--key", "keys", multiple=True, metavar="GLOB", help="Only jobs whose key matches, such as cats/*."
)
match = click.option("--match", metavar="TEXT", help="Only jobs with this text in their error.")
missing = click.option(
    "--missing", is_flag=True, help="Only succeeded jobs of which an image is not in the output folder."
)
limit = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most this many jobs.")

as_json = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, for scripts.")
quiet = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    help="No plan and no progress; of a run, the summary only if jobs failed or are left.",
)
yes = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
yes_to_many = click.option(
    "--yes", is_flag=True, help=f"Do not ask, as in a terminal before more than {consent.MANY:,} purchases."
)

probe = click.option("--probe", is_flag=True, help="Only say whether work goes on, as a health check.")


def _listed(_context: click.Context, _option: click.Parameter, written: tuple[str, ...]) -> tuple[str, ...]:
    """Return the headers in `A,B`; one that holds a comma is quoted, as in the file itself."""
    return tuple(header.strip() for row in csv.reader(written) for header in row if header.strip())


def _once(
    _context: click.Context, _option: click.Parameter, pairs: tuple[tuple[str, str], ...]
) -> dict[str, str]:
    given = dict(pairs)
    if len(given) < len(pairs):
        names = [name for name, _ in pairs]
        raise click.BadParameter(f"{next(n for n in names if names.count(n) > 1)} is given twice")
    return given


_OF_A_MANIFEST = (
    click.option(
        "--batch",
        metavar="NAME",
        help="Name of the batch; {date} is today, or the day of this file's unfinished batch.  "
        "[default: the file's]",
    ),
    click.option(
        "--column",
        "columns",
        multiple=True,
        type=Pair(),
        metavar="INPUT=HEADER",
        callback=_once,
        help="Read an input of the model from the column with this header.",
    ),
    click.option(
        "--label",
        "labels",
        multiple=True,
        metavar="A,B|*",
        callback=_listed,
        help="Carry these columns through to the results; * for all that have no other use.",
    ),
    click.option(
        "--default",
        "defaults",
        multiple=True,
        type=Pair(),
        callback=_once,
        help="Value for the rows that give none.",
    ),
    click.option(
        "--images",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Where the pictures are.  [default: the manifest's folder]",
    ),
    account,
    click.option(
        "--limit",
        metavar="N",
        type=click.IntRange(min=1),
        help="Only the first N rows; without it, the next run adds the rest.",
    ),
    click.option(
        "--keep-going", is_flag=True, help="A bad row becomes a failed job instead of stopping everything."
    ),
    click.option("--update", is_flag=True, help="Change jobs whose rows were edited, unless already bought."),
)


def manifest(command: Decorated) -> Decorated:
    """Add the options that say how a manifest is read; `manifests.Asked` holds their values."""
    return functools.reduce(lambda decorated, option: option(decorated), reversed(_OF_A_MANIFEST), command)


def filters(command: Decorated) -> Decorated:
    """Add the filters, the same ones everywhere."""
    for option in (limit, missing, match, key, label, error_class, state):
        command = option(command)
    return command


def with_settings(command: Command) -> Command:
    """Add the options that override settings, and call the command with `settings`; its log goes to the file."""

    @database
    @output
    @api
    @functools.wraps(command)
    def configured(
        *,
        database: str | None,
        output: str | None,
        api: str | None,
        when_unconfirmed: str | None = None,
        **given: Any,
    ) -> Any:
        from jobs import logs, settings
        from jobs.settings import buyers, folders

        chosen = buyers.for_account(
            settings.load(database, output, api, when_unconfirmed), given.get("account")
        )
        logs.to_file(chosen.log_path, chosen.secrets)
        if "missing" in given:  # from the flag to where the files of each batch should be
            given["missing"] = functools.partial(folders.of_batch, chosen) if given["missing"] else None
        return command(settings=chosen, **given)

    return configured
