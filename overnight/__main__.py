"""Start the command: `python -m overnight`."""

from overnight import cli

cli.main()
