"""What a person may set, once for the whole program: `load` reads it into one frozen `Settings`."""

from jobs.settings.fields import Settings
from jobs.settings.reading import load, origin, variables

__all__ = ["Settings", "load", "origin", "variables"]
