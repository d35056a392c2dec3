"""Where the images of a batch are: in the folder that was kept with it, or in that of the settings. Touches no disk.

A folder is kept only by a run that stores its images itself. Workers on several hosts have it at paths of their own.
"""

from pathlib import Path

from jobs.settings import Settings, places


def to_keep(settings: Settings) -> str | None:
    """Return the output folder as it is kept with a batch: as a relative one it moves together with the database."""
    home = settings.database_path and settings.database_path.parent
    if home is None:
        return None
    output = settings.output
    text = str(output.relative_to(home) if output.is_relative_to(home) else output)
    return text if text.isprintable() else None


def last(settings: Settings, kept: str | None) -> Path:
    """Return the folder in which the images of a batch were stored last; without a kept one, that of the settings."""
    home = settings.database_path
    if home is None or not isinstance(kept, str) or not kept or not kept.isprintable():
        return settings.output  # a database may come from anybody
    try:
        return places.folder(kept, home.parent)
    except (ValueError, OSError):
        return settings.output


def of_batch(settings: Settings, kept: str | None) -> Path:
    """Return the folder for the images of a batch: as typed or set here, else as kept with it."""
    return settings.output if "output" in settings.model_fields_set else last(settings, kept)


def at_batch(settings: Settings, kept: str | None) -> Settings:
    """Return the settings with the folder for the images of a batch."""
    output = of_batch(settings, kept)
    return settings if output == settings.output else settings.model_copy(update={"output": output})
