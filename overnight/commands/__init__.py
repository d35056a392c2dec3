"""One verb of the command line per module; each has a click command named `command`."""
