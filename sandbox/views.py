"""What a client is shown of a prediction: the API's object, as the profile and the faults change it."""

import math
import struct
from collections.abc import Mapping
from typing import Any

from sandbox import predictions, profiles, schema
from sandbox.outputs import Outputs
from sandbox.plan import Plan
from sandbox.predictions import Prediction

_FLOATS = frozenset(name for name, field in schema.INPUT["properties"].items() if field["type"] == "number")
_ADDED = {"safety_tolerance": 2}
_VERSIONS = {"other": "0" * 64, "hidden": "hidden", "null": None}
_ENDED = frozenset({"completed_at"})
_DATES = _ENDED | {"created_at", "started_at", "deadline"}


class Views:
    """Shows predictions; ``lifetime`` is how many seconds after completion their contents are wiped."""

    def __init__(self, lifetime: float, *, plan: Plan, profile: profiles.Profile, outputs: Outputs) -> None:
        self._lifetime = lifetime
        self._plan = plan
        self._elsewhere = profile.elsewhere
        self._outputs = outputs

    async def show(self, prediction: Prediction, now: float, host: str) -> dict[str, Any]:
        """Return the object for a client that called this host."""
        shown = predictions.describe(prediction, now, base=f"http://{host}", lifetime=self._lifetime)
        if self._elsewhere:
            url = f"{self._elsewhere}/v1/predictions/{prediction.id}"
            shown["urls"] = {"get": url, "cancel": f"{url}/cancel"}
        if self._plan.is_quiet():
            return shown
        if shown["status"] == "processing" and self._plan.strikes("early_output", prediction.subject):
            shown["output"] = predictions.output_urls(prediction, f"http://{host}")
        if shown["output"] and self._plan.strikes("inline", prediction.subject):
            indexes = range(len(shown["output"]))
            shown["output"] = [await self._outputs.data_uri(prediction, index) for index in indexes]
        return self._struck(shown, prediction.subject, new=math.isinf(now))

    def _struck(self, shown: dict[str, Any], subject: str, *, new: bool) -> dict[str, Any]:
        if shown["output"]:
            if shown["status"] != "processing" and self._plan.kind("expire_url", subject) == "removed":
                shown |= {"input": {}, "output": None, "data_removed": True}
            elif left := self._plan.kind("flagged", subject):
                shown["output"] = shown["output"][:1] if left == "fewer" else []
        if shown["input"] and self._plan.strikes("rewritten", subject):
            shown["input"] = rewritten(shown["input"])
        if version := self._plan.kind("other_version", subject):
            shown["version"] = _VERSIONS[version]
        if undated := self._plan.kind("undated", subject):
            left_out = _ENDED if undated == "ended" else _DATES
            shown = {name: value for name, value in shown.items() if name not in left_out}
        terse = self._plan.kind("terse", subject)
        return _terse(shown) if terse == "always" or (terse and new) else shown


def _terse(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return only what every API of this family shows."""
    output = shown["output"]
    least = {"id": shown["id"], "status": shown["status"]}
    if output is not None:
        least["output"] = output[0] if len(output) == 1 else output
    return least


def rewritten(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return an input as a server may have stored it: equal for a model, but not for a comparison.

    >>> rewritten({"prompt_strength": 0.6, "seed": 7})["prompt_strength"]
    0.6000000238418579
    """
    defaults = {name: value for name, value in schema.DEFAULTS.items() if value is not None}
    stored = {name: _single(value) if name in _FLOATS else value for name, value in sent.items()}
    return {**defaults, **stored, **_ADDED}


def _single(value: float) -> float:
    """Round a number to single precision."""
    return float(struct.unpack("f", struct.pack("f", value))[0])
