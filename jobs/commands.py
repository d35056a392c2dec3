"""A command that a person types next. It works as it is printed, in the current folder."""

import shlex
from pathlib import Path


def line(flags: str, *words: str) -> str:
    """Return a command of ours, quoted for a shell; ``flags`` are options that it must carry, quoted already.

    >>> line("--api sandbox", "resume", "my cats")
    "overnight resume 'my cats' --api sandbox"
    """
    return f"{shlex.join(['overnight', *words])} {flags}".rstrip()


def place(path: str | Path) -> str:
    """Return an absolute path as it is typed here: relative if it lies in the current folder, and never like an option.

    >>> place(Path.cwd() / "photos" / "cats.csv"), place(Path.cwd()), place("/else/where")
    ('photos/cats.csv', '.', '/else/where')
    >>> place(Path.cwd() / "-cats.csv")
    './-cats.csv'
    """
    try:
        text = str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):  # it lies elsewhere, or the current folder is gone
        return str(path)
    return f"./{text}" if text.startswith("-") else text
