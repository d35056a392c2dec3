"""The options that several commands share.

`with_settings` gives a command `settings` instead of `--database --output --api`; `filters` gives it
`states classes labels keys match limit`.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from jobs import failures, states

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


database = click.option(
    "--database", metavar="URL", help="sqlite:///FILE or postgresql://…  [default: sqlite:///overnight.db]"
)
output = click.option(
    "--output", metavar="FOLDER", help="Where images go.  [default: outputs, beside the database]"
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
    type=click.Choice([str(s) for s in states.State]),
    help="Only jobs in this state; may be repeated.",
)
error_class = click.option(
    "--class",
    "classes",
    multiple=True,
    type=click.Choice([str(c) for c in failures.FailureClass]),
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
limit = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most this many jobs.")

as_json = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, for scripts.")
quiet = click.option("-q", "--quiet", is_flag=True, help="Print only errors, and what --json prints.")
yes = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")

probe = click.option("--probe", is_flag=True, help="Only say whether work goes on, as a health check.")


def filters(command: Decorated) -> Decorated:
    """Add the filters, the same ones everywhere."""
    for option in (limit, match, key, label, error_class, state):
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
        from jobs.settings import buyers

        chosen = buyers.for_account(
            settings.load(database, output, api, when_unconfirmed), given.get("account")
        )
        logs.to_file(chosen.log_path, chosen.secrets)
        return command(settings=chosen, **given)

    return configured
