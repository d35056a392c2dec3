"""What a manifest comes to once it is read: its rows, and how a file that cannot be changed was read."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any, NamedTuple, Self


class Row(NamedTuple):
    """One row, checked: one img2img input that is wanted once.

    ``row`` is the line of the file on which it starts, from 1. ``input`` holds what the manifest gives, defaults of
    the manifest included, the model's own excluded, and not the image; ``seeded`` says whether a seed is in it.
    ``digest`` covers everything but the line and the key, so that a reload can tell an edited row from a moved one.
    ``stem`` is the path of its files below the batch's folder, without index and suffix, unique in the manifest
    ignoring case. A row with a ``problem`` is a failed job from the start. Input and labels stay the JSON texts
    that the database takes: a million rows pass here, and hardly one is looked into.
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

    @property
    def input(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.input_json)
        return found

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.labels_json)
        return found


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How a file that cannot be changed is read; kept with the batch.

    ``columns`` maps an input to the header it is read from. ``labels`` are headers carried through; ``*`` stands
    for every column that is nothing else. ``images`` is the folder where relative paths start, and the only one
    in which absolute ones may lie.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    defaults: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    images: Path | None = None

    def over(self, other: Self) -> "Adaptation":
        """Return both together; where they differ, this one counts."""
        return Adaptation(
            columns={**other.columns, **self.columns},
            labels=tuple(dict.fromkeys([*other.labels, *self.labels])),
            defaults={**other.defaults, **self.defaults},
            images=self.images or other.images,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": dict(self.columns),
            "labels": list(self.labels),
            "defaults": dict(self.defaults),
            "images": None if self.images is None else str(self.images),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            columns=dict(value["columns"]),
            labels=tuple(value["labels"]),
            defaults=dict(value["defaults"]),
            images=None if value["images"] is None else Path(value["images"]),
        )


# Made once: json.dumps makes one at every call.
_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def written(value: Any) -> str:
    """Return one value as JSON, the same whatever the order of its keys."""
    # The encoder sets itself up as for a tree, and comes to the same as this.
    if type(value) is str:
        return encode_basestring_ascii(value)
    return repr(value) if type(value) in _NUMBERS else _encoded(value)


def digest(*texts: str) -> str:
    """Return 16 hexadecimal digits that tell some JSON texts from others."""
    return hashlib.sha256(f"[{','.join(texts)}]".encode("ascii")).hexdigest()[:16]


_NUMBERS = frozenset({int, float})
