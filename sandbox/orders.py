"""A valid create: all that is needed to sell it, at once or later, even by another process."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sandbox import schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for, by whom, and which attempt at this job it is.

    ``image`` says where the picture is (see ``pictures``); ``input`` does without the bytes of a data URI.
    ``allowed`` is how many seconds it may take, ``host`` the one that the client called.
    """

    version: str
    input: dict[str, Any]
    image: str
    webhook: str | None
    account: str
    host: str
    allowed: float | None
    identity: str
    attempt: int

    @property
    def subject(self) -> str:
        """What faults are drawn for: the prediction's own, once it is sold."""
        return f"{self.identity}/{self.attempt}"


def identity(asked: dict[str, Any], image: str) -> str:
    """Digest what makes two creates the same job: the inputs that the model knows, and the picture."""
    known = {name: value for name, value in asked.items() if name in schema.DEFAULTS}
    same = {name: int(v) if isinstance(v, float) and v.is_integer() else v for name, v in known.items()}
    return hashlib.sha256(json.dumps({**same, "image": image}, sort_keys=True).encode()).hexdigest()[:32]
