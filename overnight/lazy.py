"""A click group that imports a command only when it is called, so that help and completion stay fast."""

import importlib
import os
import select
import sys
from collections.abc import Mapping

import click

from jobs import errors


class LazyGroup(click.Group):
    """Find each command as `command` in `overnight.commands.NAME`; its line of help is in ``sections``."""

    def __init__(self, *, sections: Mapping[str, Mapping[str, str]], **more: object) -> None:
        super().__init__(**more)  # type: ignore[arg-type]  # click's own keywords, passed on untouched
        self.sections = sections

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's own signature
        return [name for section in self.sections.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"overnight.commands.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.list_commands(ctx):
            raise click.exceptions.NoSuchCommand(args[0], possibilities=self.list_commands(ctx), ctx=ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. On a broken pipe click itself would exit with 1, which means "some failed" here."""
        result: object = None
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError as error:
            if not _reader_left():
                raise errors.Unavailable("a connection broke off; run the same command again") from error
        except OSError as error:
            if not _is_full():
                raise
            raise errors.Unavailable(
                f"the output cannot be written: {error.strerror}; send it elsewhere"
            ) from error
        return result

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.list_commands(ctx)))
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), line) for name, line in section.items()])


def _reader_left() -> bool:
    """Whether the reader of our stdout has gone, as after `| head`; if so, drop what is left."""
    watch = select.poll()
    watch.register(sys.stdout, 0)  # no event requested: only a hang-up or an error is reported
    if not watch.poll(0):
        return False
    _drop_output()
    return True


def _is_full() -> bool:
    """Whether it is our stdout, a file on a full disk, that takes nothing more; if so, drop what is left."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
        return True
    return False


def _drop_output() -> None:
    """Send what is left to /dev/null: Python flushes once more at exit, and would complain then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
