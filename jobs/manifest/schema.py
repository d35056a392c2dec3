"""What a model accepts: its inputs as one JSON Schema, in the form in which the API publishes it for each version.

A model is a file in ``models/``: its published ``openapi_schema`` with ``x-version`` at the top level, and
``x-advisory`` on each property whose enum may be incomplete.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import jsonschema_rs

_MODEL = "stable-diffusion-img2img"
_SENTENCES = {
    "minimum": "is less than {limit}",
    "maximum": "is more than {limit}",
    "exclusiveMinimum": "is not more than {limit}",
    "exclusiveMaximum": "is not less than {limit}",
    "enum": "is none of {options}",
    "required": "is not given, and the model needs it",
    "minLength": "has fewer than {limit} characters",
    "maxLength": "has more than {limit} characters",
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class Input:
    """One input of the model: its JSON type and, where the model has one, its default."""

    type: str
    default: Any = None
    advisory: bool = False


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the schema objects to in one input; ``advisory`` only warns."""

    name: str
    message: str
    advisory: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """The inputs of one version of a model, in the model's own order."""

    version: str
    inputs: Mapping[str, Input]
    validator: jsonschema_rs.Validator

    def complaints(self, values: dict[str, Any]) -> Iterable[Complaint]:
        """Return what is wrong with one job's inputs; fast if nothing is."""
        return () if self.validator.is_valid(values) else self._complaints(values)

    def _complaints(self, values: dict[str, Any]) -> Iterator[Complaint]:
        for error in self.validator.iter_errors(values):
            kind = error.kind.as_dict()
            name = str(error.instance_path[0] if error.instance_path else kind.get("property", ""))
            known = self.inputs.get(name)
            advisory = known is not None and known.advisory and error.kind.name == "enum"
            yield Complaint(name, _sentence(error.kind.name, kind, advisory=advisory), advisory)

    def outputs(self, values: Mapping[str, Any]) -> int:
        """Return how many images a job with these inputs makes."""
        made = self.inputs.get("num_outputs")
        return 1 if made is None else int(values.get("num_outputs", made.default or 1))


@cache
def load() -> Schema:
    """Read the schema of the model that comes with the package."""
    text = resources.files("jobs.manifest").joinpath("models", f"{_MODEL}.json").read_text("utf-8")
    return parse(json.loads(text))


def parse(document: Mapping[str, Any]) -> Schema:
    """Parse a published ``openapi_schema``; nothing is fetched, whatever a ``$ref`` says."""
    schemas = document["components"]["schemas"]
    properties = schemas["Input"]["properties"]
    names = sorted(properties, key=lambda name: properties[name].get("x-order", len(properties)))
    root = {
        "$schema": _DIALECT,
        "$ref": "#/components/schemas/Input",
        "components": document["components"],
    }
    return Schema(
        version=document["x-version"],
        inputs={name: _input(properties[name], schemas) for name in names},
        validator=jsonschema_rs.validator_for(root, offline=True),
    )


def _input(described: Mapping[str, Any], schemas: Mapping[str, Any]) -> Input:
    """Return an input; in a published enum the type is behind ``allOf`` and ``$ref``."""
    whole = dict(described)
    for part in [*described.get("allOf", ()), *described.get("anyOf", ())]:
        target = schemas[part["$ref"].rsplit("/", 1)[-1]] if "$ref" in part else part
        if target.get("type") != "null":
            whole = {**target, **whole}
    return Input(
        type=whole.get("type", "string"),
        default=whole.get("default"),
        advisory=bool(whole.get("x-advisory", False)),
    )


def _sentence(keyword: str, kind: Mapping[str, Any], *, advisory: bool) -> str:
    """Return the sentence for a violated keyword, without the value, so that equal mistakes read the same."""
    sentence = _SENTENCES.get(keyword)
    if sentence is None:
        return f"does not fit the model's {keyword} rule: {json.dumps(dict(kind), sort_keys=True)}"
    advice = "; it is sent as it is and may fail at the API" if advisory else ""
    options = ", ".join(str(option) for option in kind.get("options", ()))
    return sentence.format(limit=kind.get("limit"), options=options) + advice
