"""`overnight example`: something to start from."""

import importlib.resources
import shutil
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from jobs import commands, errors
from overnight.display import words

_STEM = "sketch-mountains"


@click.command()
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--yaml", "suffix", flag_value=".yaml", default=".csv", help="YAML instead of CSV.")
def command(folder: Path | None, suffix: str) -> None:
    """Print an example manifest, or put it into FOLDER, a new or an empty one, together with its pictures.

    \b
    overnight example > tonight.csv     a manifest to fill with rows of your own
    overnight example rehearsal         one that runs as it is
    """
    source = importlib.resources.files("jobs") / "examples"
    manifest = source / (_STEM + suffix)
    if folder is None:
        click.echo(manifest.read_text("utf-8"), nl=False)
        words.say("The pictures that it names come with: overnight example FOLDER")
        return
    _refuse_others(folder)
    copied = folder / manifest.name
    _copy(manifest, copied)
    for picture in (source / "images").iterdir():
        _copy(picture, folder / "images" / picture.name)
    words.say(f"Type next: {commands.line('--api sandbox', 'run', str(copied))}")


def _refuse_others(folder: Path) -> None:
    """Refuse a folder that holds anything: nobody could tell a person's own files from ours."""
    try:
        if any(folder.iterdir()):
            raise errors.Mistake(f"{folder} is not empty; name a new folder")
    except FileNotFoundError:
        return
    except OSError as error:
        raise errors.Unavailable(f"{folder}: {error.strerror}; name another folder") from None


def _copy(source: Traversable, target: Path) -> None:
    """Copy one file; refuse to overwrite one that is there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as given, target.open("xb") as taken:
            shutil.copyfileobj(given, taken)
    except FileExistsError:
        raise errors.Mistake(f"{target} already exists; name another folder") from None
    except OSError as error:
        raise errors.Unavailable(f"{target}: {error.strerror}; name another folder") from None
