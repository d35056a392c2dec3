"""A command that a person types next. It works as it is printed. Pure."""

import shlex


def line(flags: str, *words: str) -> str:
    """Return a command of ours, quoted for a shell; ``flags`` are options that it must carry, quoted already.

    >>> line("--api sandbox", "resume", "my cats")
    "overnight resume 'my cats' --api sandbox"
    """
    return f"{shlex.join(['overnight', *words])} {flags}".rstrip()
