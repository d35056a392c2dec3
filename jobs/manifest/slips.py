"""Guesses which known name a person meant who wrote another. Pure."""

import difflib
from collections.abc import Iterable

# How similar a label and an input must be to count as a misspelling.
_SLIP = 0.85

# What other programs call the same thing; spelt too differently for the similarity to show.
_SYNONYMS = {
    "steps": "num_inference_steps",
    "num_steps": "num_inference_steps",
    "cfg": "guidance_scale",
    "cfg_scale": "guidance_scale",
    "guidance": "guidance_scale",
    "strength": "prompt_strength",
    "denoise": "prompt_strength",
    "denoising_strength": "prompt_strength",
    "sampler": "scheduler",
    "sampler_name": "scheduler",
    "n": "num_outputs",
    "num_images": "num_outputs",
    "num_samples": "num_outputs",
    "batch_size": "num_outputs",
    "negative": "negative_prompt",
    "neg_prompt": "negative_prompt",
    "url": "image",
    "file": "image",
    "filename": "image",
    "file_name": "image",
    "path": "image",
    "input": "image",
    "img": "image",
    "init_image": "image",
    "text": "prompt",
    "caption": "prompt",
    "description": "prompt",
    "id": "key",
    "name": "key",
}


def meant(written: str, known: Iterable[str]) -> str | None:
    """Return the known name that a person most likely meant, by sense or by spelling.

    >>> meant("Prompt Strenght", ["prompt", "prompt_strength"]), meant("cfg", ["guidance_scale"]), meant("x", ["y"])
    ('prompt_strength', 'guidance_scale', None)
    """
    word = written.strip().lower().replace(" ", "_").replace("-", "_")
    names = list(known)
    if (synonym := _SYNONYMS.get(word)) in names:
        return synonym
    return next(iter(difflib.get_close_matches(word, names, n=1)), None)


def misspelt(written: str, known: Iterable[str]) -> str | None:
    """Return the known name that differs by little more than a letter."""
    return next(iter(difflib.get_close_matches(written, list(known), n=1, cutoff=_SLIP)), None)
