"""``python -m sandbox``: the sandbox as a program of its own."""

import argparse
import dataclasses
import sys
from pathlib import Path

from sandbox import faults, server
from sandbox.options import Options


def main() -> int:
    """Read the command line and serve; return 2 for a mistake, 69 if the port or the folder is not available."""
    given = vars(_parser().parse_args())
    try:
        chosen = dict(faults.parse(text) for text in given.pop("fault"))
        server.serve(Options(**given, faults=chosen))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 2 if isinstance(error, ValueError) else 69
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandbox", description=__doc__)
    parser.add_argument(
        "--state", type=Path, default=Path("sandbox-state"), help="folder of ledger and files"
    )
    parser.add_argument("--fault", action="append", default=[], metavar="NAME=SHARE", help="may be repeated")
    parser.add_argument("--parent-pid", type=int, metavar="PID", help="end when this parent process ends")
    for field in dataclasses.fields(Options):
        if isinstance(field.default, int | float | str):
            name = f"--{field.name.replace('_', '-')}"
            told = field.metadata.get("help", "")
            parser.add_argument(
                name, type=type(field.default), default=field.default, help=f"{told} [%(default)s]"
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
