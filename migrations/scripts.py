"""Where Alembic finds the revisions, and how it names new ones; in code, so that a wheel needs no alembic.ini."""

from pathlib import Path

from alembic.config import Config

FOLDER = Path(__file__).parent


def config() -> Config:
    """Return Alembic's configuration; to run revisions, add the `Database` as `attributes["database"]`."""
    made = Config()
    options = {
        "script_location": str(FOLDER),
        "file_template": "%(rev)s_%(slug)s",
        "path_separator": "os",
    }
    for name, value in options.items():
        made.set_main_option(name, value.replace("%", "%%"))  # ConfigParser's own escape
    return made
