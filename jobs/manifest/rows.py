"""What reading a manifest yields: its rows, and how a file that cannot be changed was adapted."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import TypeAdapter


class Row(NamedTuple):
    """One row, checked: one img2img input that is wanted once.

    ``row`` is the line of the file on which it starts, from 1. ``input_json`` is what the manifest gives: with the
    manifest's defaults, without the model's own and without the image; ``seeded`` says whether it has a seed.
    ``digest`` covers everything but line and key, so that a reload can tell an edited row from a moved one.
    ``stem`` is the path of its files below the batch's folder, without index and suffix; it is unique in the
    manifest, ignoring case. A row with a ``problem`` is a failed job from the start; if only its picture
    is to blame, ``unusable`` is that `problems.Problem` as JSON. ``travel`` is how its picture reaches the API. Input
    and labels stay JSON texts, as the database takes them: a million rows pass here, and hardly one is decoded.
    """

    row: int
    key: str
    image: str
    input_json: str
    seeded: bool
    version: str | None
    labels_json: str
    priority: int
    outputs: int
    digest: str
    stem: str
    problem: str | None = None
    unusable: str | None = None
    travel: str | None = None


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How a file that cannot be changed is read; stored with the batch.

    ``columns`` maps an input to the header it is read from. ``labels`` are headers carried through; ``*``
    stands for every column that is nothing else. ``images`` is the folder where relative paths start, and the
    only one in which absolute paths may lie.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    defaults: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    images: Path | None = None

    def over(self, other: Self) -> "Adaptation":
        """Return both merged; where they differ, this one wins."""
        return Adaptation(
            columns={**other.columns, **self.columns},
            labels=tuple(dict.fromkeys([*other.labels, *self.labels])),
            defaults={**other.defaults, **self.defaults},
            images=self.images or other.images,
        )


STORED = TypeAdapter(Adaptation)  # how it is stored as JSON


# Made once: json.dumps would make an encoder at every call.
_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def written(value: Any) -> str:
    """Return a value as JSON, independent of the order of its keys."""
    # A shortcut: the encoder gives the same, but sets itself up for a whole tree.
    if type(value) is str:
        return encode_basestring_ascii(value)
    return repr(value) if type(value) in _NUMBERS else _encoded(value)


def digest(*texts: str) -> str:
    """Return 16 hexadecimal digits that identify these JSON texts."""
    return hashlib.sha256(f"[{','.join(texts)}]".encode("ascii")).hexdigest()[:16]


_NUMBERS = frozenset({int, float})
