"""Which failure class the API's words mean. The only place that knows its error texts."""

import re

from jobs.failures import FailureClass

# Ordered: words that name a cause win over a code that only says that something went wrong.
_FAILURES = (
    (FailureClass.OUT_OF_MEMORY, r"\bE1001\b|out of memory"),
    (FailureClass.NSFW, r"\bE005\b|nsfw content|flagged as sensitive"),
    (FailureClass.INTERRUPTED, r"\bE(?:1000|6716|8367|8765|9828)\b|\(code: PA\)|prediction interrupted"),
    (
        FailureClass.INPUT_UNREACHABLE,
        r"(?:failed|unable|not|error) (?:to )?(?:download|fetch|retriev|access)|error: .{0,80} for url|invalid url",
    ),
    (
        FailureClass.INPUT_UNREADABLE,
        r"cannot identify image|unidentifiedimage|image file is truncated|broken data stream",
    ),
    (FailureClass.INVALID_INPUT, r"\bE006\b|validation (?:error|failed)|invalid (?:input|value|version)"),
    (FailureClass.TIMED_OUT, r"timed out|time-?out|deadline exceeded|time limit|maximum (?:run)?time"),
)
_COMPILED = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _FAILURES)


def failure_class(error: str | None) -> FailureClass:
    """Return why a finished prediction failed; no words at all mean that it was interrupted.

    >>> str(failure_class("Prediction failed: CUDA out of memory. Tried to allocate 2 GiB"))
    'out-of-memory'
    >>> str(failure_class("")), str(failure_class("division by zero"))
    ('interrupted', 'model-error')
    """
    if not error or not error.strip():
        return FailureClass.INTERRUPTED
    return _found(error) or FailureClass.MODEL_ERROR


def refusal_class(message: str) -> FailureClass:
    """Return why a create was refused: the input is at fault unless the words name another cause."""
    match _found(message):
        case FailureClass.NSFW | FailureClass.INPUT_UNREACHABLE | FailureClass.INPUT_UNREADABLE as named:
            return named
        case _:
            return FailureClass.INVALID_INPUT


def _found(text: str) -> FailureClass | None:
    return next((name for name, pattern in _COMPILED if pattern.search(text)), None)
