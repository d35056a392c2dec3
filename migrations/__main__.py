"""Draft the next revision: `python -m migrations "What it brings"`."""

import click
from alembic import command

from migrations import schema, scripts


@click.command()
@click.argument("title")
def draft(title: str) -> None:
    """Write an empty revision with the next number."""
    command.revision(scripts.config(), message=title, rev_id=f"{int(schema.HEAD) + 1:04}")


if __name__ == "__main__":
    draft(prog_name="python -m migrations")
