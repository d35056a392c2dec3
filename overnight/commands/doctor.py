"""`overnight doctor`: what is wrong with an installation, and what to do about it. Changes nothing."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from overnight import options
from overnight.display import words
from overnight.exits import Exit

if TYPE_CHECKING:  # all of it loads SQLAlchemy, and `--help` must not
    from overnight.doctor.findings import Finding


@click.command()
@options.as_json
@options.database
@options.output
@options.api
def command(database: str | None, output: str | None, api: str | None, *, as_json: bool) -> Exit:
    """Check settings, token, API, clock, database, broker, disks and rights; a line for each.

    Asks the API one question and buys nothing; makes no database and no folder. Exits with 2 if you must change
    something, with 69 if something cannot be reached, with 0 if nothing is wrong.
    """
    from overnight.display import data
    from overnight.doctor import findings

    found = []
    for finding in _found(database, output, api):
        found.append(finding)
        if not as_json:
            click.echo(words.line(finding.line()))
    if as_json:
        data.document([finding.as_json() for finding in found])
    words.say(findings.summary(found))
    return findings.exit_code(found)


def _found(database: str | None, output: str | None, api: str | None) -> Iterator["Finding"]:
    """Yield the findings as they come; without readable settings nothing else can be checked."""
    from jobs import errors, logs, settings
    from overnight.doctor import examination, findings

    yield examination.versions()
    try:
        chosen = settings.load(database, output, api)
    except errors.Mistake as mistake:
        yield from findings.wrong("settings", mistake)
        return
    logs.to_file(chosen.log_path, chosen.secrets)
    yield from examination.examine(chosen)
