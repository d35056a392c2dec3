"""Manifests for tests: written to a folder, read whole, and what came of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from jobs.manifest import document, outline, rows, source, validate, validated

WEB = "https://pics.example.com/tom.jpeg"


@contextmanager
def reading(
    path: Path | str, adaptation: rows.Adaptation | None = None, **options: Any
) -> Iterator[validated.Validated]:
    with (
        source.open_source(path) as manifest,
        validate.validate(manifest, adaptation or rows.Adaptation(), **options) as read,
    ):
        yield read


def batch_of(path: Path) -> str | None:
    """Return how a YAML manifest calls its batch."""
    with source.open_source(path) as manifest:
        return outline.read(manifest, document.Document(manifest)).batch


def write(folder: Path, content: str | bytes, name: str = "cats.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows_of(path: Path, adaptation: rows.Adaptation | None = None, **options: Any) -> list[rows.Row]:
    """Return the rows of a manifest that must have no mistake."""
    with reading(path, adaptation, **options) as read:
        return [row for chunk in read.rows(3) for row in chunk]


def inputs_of(row: rows.Row) -> dict[str, Any]:
    return dict(json.loads(row.input_json))


def labels_of(row: rows.Row) -> dict[str, str]:
    return dict(json.loads(row.labels_json))


def mistakes(path: Path, adaptation: rows.Adaptation | None = None, **options: Any) -> list[str]:
    """Return what is wrong with a manifest of which nothing is bought yet, without the folder it lies in."""
    with reading(path, adaptation, **options) as read:
        for row in (row for chunk in read.unusable() for row in chunk):
            read.blame(row)
        if read.no_folder:
            read.problems.add(read.no_folder)
        return [line.replace(f"{path.parent}/", "") for line in read.problems.lines()]


def picture(path: Path, size: tuple[int, int] = (64, 64), form: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "teal").save(path, form)
    return path
