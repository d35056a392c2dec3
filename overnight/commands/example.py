"""`overnight example`: something to start from."""

import importlib.resources
import shutil
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from jobs import errors
from overnight.display import words

_STEM = "sketch-mountains"


@click.command()
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--yaml", "suffix", flag_value=".yaml", default=".csv", help="YAML instead of CSV.")
def command(folder: Path | None, suffix: str) -> None:
    """Print an example manifest, or put it into FOLDER together with its pictures.

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
    copied = folder / manifest.name
    _copy(manifest, copied)
    for picture in (source / "images").iterdir():
        _copy(picture, folder / "images" / picture.name)
    words.say(f"Type next: overnight run {copied} --api sandbox")


def _copy(source: Traversable, target: Path) -> None:
    """Copy one file; refuse to overwrite one that is there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as given, target.open("xb") as taken:
            shutil.copyfileobj(given, taken)
    except FileExistsError:
        raise errors.Mistake(f"{target} already exists; name another folder") from None
    except OSError as error:
        raise errors.Unavailable(f"{target}: {error.strerror}") from None
