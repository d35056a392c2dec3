"""What the imitated model takes and gives, as JSON Schema: the form in which the API publishes any model's."""

import re
from typing import Any

OWNER = "stability-ai"
NAME = "stable-diffusion-img2img"
# Nobody knows all versions of a model: every id of this form is taken for one.
VERSION = re.compile(r"[0-9a-f]{64}", re.ASCII)

INPUT: dict[str, Any] = {
    "type": "object",
    "title": "Input",
    "required": ["image"],
    "properties": {
        "image": {"type": "string", "format": "uri", "pattern": "^(https?://|data:)", "x-order": 0},
        "prompt": {"type": "string", "default": "A fantasy landscape, trending on artstation", "x-order": 1},
        "negative_prompt": {"type": "string", "x-order": 2},
        "prompt_strength": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.8, "x-order": 3},
        "num_outputs": {"type": "integer", "minimum": 1, "maximum": 8, "default": 1, "x-order": 4},
        "num_inference_steps": {"type": "integer", "minimum": 1, "maximum": 500, "default": 25, "x-order": 5},
        "guidance_scale": {"type": "number", "minimum": 1, "maximum": 20, "default": 7.5, "x-order": 6},
        "scheduler": {
            "type": "string",
            "enum": ["DDIM", "K_EULER", "DPMSolverMultistep", "K_EULER_ANCESTRAL", "PNDM", "KLMS"],
            "default": "DPMSolverMultistep",
            "x-order": 7,
        },
        "seed": {"type": "integer", "x-order": 8},
    },
}

OUTPUT: dict[str, Any] = {
    "type": "array",
    "title": "Output",
    "items": {"type": "string", "format": "uri"},
}

# The body of a create. Unlike an unknown input, which a model ignores, an unknown key here is refused.
CREATE: dict[str, Any] = {
    "type": "object",
    "required": ["version", "input"],
    "additionalProperties": False,
    "properties": {
        "version": {"type": "string"},
        "input": INPUT,
        "stream": {"type": "boolean"},
        "webhook": {"type": "string"},
        "webhook_events_filter": {
            "type": "array",
            "items": {"enum": ["start", "output", "logs", "completed"]},
        },
    },
}

OPENAPI: dict[str, Any] = {
    "openapi": "3.0.2",
    "info": {"title": NAME, "version": "0.1.0"},
    "paths": {},
    "components": {"schemas": {"Input": INPUT, "Output": OUTPUT}},
}

DEFAULTS: dict[str, Any] = {name: field.get("default") for name, field in INPUT["properties"].items()}
