"""The marker that identifies a prediction: the scalars that we sent, above all the job's own seed. Pure."""

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

_SINGLE = 2**-23  # twice the largest relative error of rounding to single precision
_NOT_COMPARED = frozenset({"image"})  # the API may echo it as another URL, or not at all
_DIGEST = "sha256:"
_IMAGE_COMPARED = "image as it was sent"  # if the API shows it unchanged; no model has such an input


def seed(batch_uuid: str, key: str, generation: int = 0) -> int:
    """Return the job's own seed: 31 bits, the same at every load, different for each generation.

    >>> seed("b6b1", "cat") == seed("b6b1", "cat") != seed("b6b1", "cat", 1)
    True
    """
    text = f"{batch_uuid}\0{key}\0{generation}" if generation else f"{batch_uuid}\0{key}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def fresh_seed(batch_uuid: str, key: str, tries: int, earlier: Collection[Any]) -> int:
    """Return a seed of our own making that the job has not had yet.

    >>> first = fresh_seed("b6b1", "cat", 1, [])
    >>> fresh_seed("b6b1", "cat", 1, [first]) == first
    False
    """
    generation = max(tries, 1)
    while (found := seed(batch_uuid, key, generation)) in earlier:
        generation += 1
    return found


def is_own(value: Any, batch_uuid: str, key: str, tries: int) -> bool:
    """Whether a seed is one of our own making that a job may have had within so many tries.

    >>> is_own(fresh_seed("b6b1", "cat", 3, []), "b6b1", "cat", 3), is_own(7, "b6b1", "cat", 3)
    (True, False)
    """
    return any(value == seed(batch_uuid, key, generation) for generation in range(2 * tries + 2))


def seed_of_edited(
    edited: Mapping[str, Any], sent: Sequence[Mapping[str, Any]], batch_uuid: str, key: str
) -> int:
    """Return the own seed of an edited input: the one it has, unless it matches something ``sent`` before.

    An earlier prediction that turns up late must not be taken for the one that is wanted now.

    >>> before = {"seed": 7, "prompt": "a", "guidance_scale": 7.5}
    >>> seed_of_edited({"seed": 7, "prompt": "b"}, [before], "b6b1", "cat")
    7
    >>> seed_of_edited({"seed": 7, "prompt": "a"}, [before], "b6b1", "cat") == 7
    False
    """
    kept: int = edited["seed"]
    if not any(matches(edited, earlier) for earlier in sent):
        return kept
    return fresh_seed(batch_uuid, key, len(sent), {kept, *(one.get("seed") for one in sent)})


def scalars(sent: Mapping[str, Any]) -> dict[str, str | float | bool]:
    """Return what can be compared with the API's echo: no image, every number as a float.

    >>> scalars({"image": "x", "seed": 7, "guidance_scale": 7.5, "prompt": "a"})
    {'guidance_scale': 7.5, 'prompt': 'a', 'seed': 7.0}
    """
    return {
        name: _number(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        for name, value in sorted(sent.items())
        if name not in _NOT_COMPARED and isinstance(value, str | int | float | bool)
    }


def _number(value: float) -> float:
    """Convert to float: echoed integers may be too large for one, and adding 0.0 turns -0.0 into 0.0."""
    try:
        return float(value) + 0.0
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def image_digest(image: str) -> str:
    """Return the digest that identifies an image (URL or data URI) where the API shows it unchanged.

    >>> image_digest("https://images.example/a.png")[:15]
    'sha256:55ff13da'
    """
    return _DIGEST + hashlib.sha256(image.encode("utf-8", "surrogatepass")).hexdigest()


def with_image(sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an input whose image is compared too, from a sent one (with a digest) or an echo (with the image).

    >>> sent = with_image({"seed": 7, "image": image_digest("x")})
    >>> matches(sent, with_image({"seed": 7, "image": "x"})), matches(sent, with_image({"seed": 7, "image": "y"}))
    (True, False)
    """
    image = sent.get("image")
    if not isinstance(image, str):
        return sent
    return {**sent, _IMAGE_COMPARED: image if image.startswith(_DIGEST) else image_digest(image)}


def digest(sent: Mapping[str, Any]) -> str:
    """Return 32 hex digits that are equal exactly if the comparable scalars are."""
    text = json.dumps(scalars(sent), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def matches(sent: Mapping[str, Any], echoed: Mapping[str, Any]) -> bool:
    """Whether an echo shows every scalar that was sent; what the API added is ignored.

    A fraction may come back rounded to single precision. A whole number may not: two seeds can be neighbours.

    >>> matches({"seed": 7, "prompt": "a"}, {"seed": 7.0, "prompt": "a", "num_outputs": 1})
    True
    >>> matches({"seed": 7, "prompt": "a"}, {"prompt": "a"})
    False
    """
    shown = scalars(echoed)
    return all(name in shown and _is_same(value, shown[name]) for name, value in scalars(sent).items())


def exact(sent: Mapping[str, Any]) -> dict[str, str | float | bool]:
    """Return the scalars that an echo shows exactly as sent: all but fractions.

    >>> exact({"seed": 7, "guidance_scale": 7.5})
    {'seed': 7.0}
    """
    return {name: value for name, value in scalars(sent).items() if not _is_fraction(value)}


def _is_fraction(value: str | float | bool) -> bool:
    return isinstance(value, float) and not value.is_integer()


def _is_same(sent: str | float | bool, shown: str | float | bool) -> bool:
    if type(sent) is not type(shown):  # False is not 0
        return False
    if isinstance(sent, float) and isinstance(shown, float) and _is_fraction(sent):
        return sent == shown or math.isclose(sent, shown, rel_tol=_SINGLE)
    return sent == shown
