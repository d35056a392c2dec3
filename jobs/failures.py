"""Why a job failed, and what a person does about it: one table for status, jobs, retry, export and the README."""

from dataclasses import dataclass
from enum import StrEnum


class FailureClass(StrEnum):
    """The class stored in ``error_class``."""

    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed-out"
    DOWNLOAD_FAILED = "download-failed"
    OUTPUT_INVALID = "output-invalid"
    EXPIRED = "expired"
    UNCONFIRMED = "unconfirmed"
    NSFW = "nsfw"
    EMPTY_OUTPUT = "empty-output"
    OUT_OF_MEMORY = "out-of-memory"
    INVALID_INPUT = "invalid-input"
    INPUT_UNREACHABLE = "input-unreachable"
    INPUT_UNREADABLE = "input-unreadable"
    UPLOAD_FAILED = "upload-failed"
    MODEL_ERROR = "model-error"
    POISON = "poison"
    UNSUBMITTABLE = "unsubmittable"
    DEADLINE = "deadline"


class Remedy(StrEnum):
    """What helps, from doing nothing to looking first."""

    BY_ITSELF = "by itself, up to MAX_ATTEMPTS"
    FETCHED_AGAIN = "fetched again by itself for 55 minutes; after that it costs again"
    WHEN_ASKED = "only when asked: it costs again"
    NEW_SEED = "same seed, same result"
    NEW_INPUT = "needs another input"
    MENDED_FILE = "needs the file put back or mended"
    LOOK_FIRST = "look first"


@dataclass(frozen=True, slots=True)
class Advice:
    """What a failure class means, and what helps."""

    meaning: str
    remedy: Remedy


_ADVICE: dict[FailureClass, Advice] = {
    FailureClass.INTERRUPTED: Advice("the provider broke off a run that may pass", Remedy.BY_ITSELF),
    FailureClass.TIMED_OUT: Advice("the run took longer than the provider allows", Remedy.BY_ITSELF),
    FailureClass.DOWNLOAD_FAILED: Advice("an output could not be fetched in time", Remedy.FETCHED_AGAIN),
    FailureClass.OUTPUT_INVALID: Advice("an output was no whole image", Remedy.FETCHED_AGAIN),
    FailureClass.EXPIRED: Advice(
        "the outputs were deleted, or denied for 55 minutes, before they were fetched", Remedy.WHEN_ASKED
    ),
    FailureClass.UNCONFIRMED: Advice("nobody can tell any more whether it was bought", Remedy.WHEN_ASKED),
    FailureClass.NSFW: Advice("the safety check dropped every image", Remedy.NEW_SEED),
    FailureClass.EMPTY_OUTPUT: Advice("the prediction succeeded without an image", Remedy.NEW_SEED),
    FailureClass.OUT_OF_MEMORY: Advice(
        "the image or num_outputs is too large for the model", Remedy.NEW_INPUT
    ),
    FailureClass.INVALID_INPUT: Advice(
        "the API, the model or the check of its row refuses the input", Remedy.NEW_INPUT
    ),
    FailureClass.INPUT_UNREACHABLE: Advice("the provider could not fetch the image", Remedy.NEW_INPUT),
    FailureClass.INPUT_UNREADABLE: Advice(
        "the image file is missing, broken or too large; put it back or mend it first", Remedy.MENDED_FILE
    ),
    FailureClass.UPLOAD_FAILED: Advice("five uploads of the image came to nothing", Remedy.NEW_INPUT),
    FailureClass.MODEL_ERROR: Advice("the model failed in a way we do not know", Remedy.LOOK_FIRST),
    FailureClass.POISON: Advice("the job ended its worker three times", Remedy.LOOK_FIRST),
    FailureClass.UNSUBMITTABLE: Advice("five sends came to nothing", Remedy.LOOK_FIRST),
    FailureClass.DEADLINE: Advice("it was canceled at its deadline", Remedy.LOOK_FIRST),
}

RETRIED_PLAINLY = frozenset({Remedy.BY_ITSELF, Remedy.FETCHED_AGAIN, Remedy.WHEN_ASKED})


def advice(error_class: str) -> Advice:
    """Return the advice for a class; one from a newer version counts as unknown."""
    try:
        return _ADVICE[FailureClass(error_class)]
    except ValueError:
        return Advice("a class that this version does not know", Remedy.LOOK_FIRST)


def passes_by_itself(error_class: str) -> bool:
    """Whether the same input may well succeed when it is run again.

    >>> passes_by_itself("interrupted"), passes_by_itself("nsfw")
    (True, False)
    """
    return advice(error_class).remedy is Remedy.BY_ITSELF


def needs_new_input(error_class: str) -> bool:
    """Whether the remedy is to export the jobs and edit their input."""
    return advice(error_class).remedy is Remedy.NEW_INPUT


def command(batch: str, error_class: str, target: str) -> list[str]:
    """Return the words a person types next for the failed jobs of one class; ``target`` is a file for new input.

    >>> command("cats", "interrupted", "")
    ['retry', 'cats']
    >>> command("cats", "invalid-input", "cats-again.csv")
    ['export', 'cats', '--class', 'invalid-input', '--manifest', '-o', 'cats-again.csv']
    """
    of_class = [batch, "--class", error_class]
    match advice(error_class).remedy:
        case Remedy.BY_ITSELF | Remedy.FETCHED_AGAIN | Remedy.WHEN_ASKED:
            return ["retry", batch]
        case Remedy.NEW_SEED:
            return ["retry", *of_class, "--new-seed"]
        case Remedy.MENDED_FILE:
            return ["retry", *of_class]
        case Remedy.NEW_INPUT:
            return ["export", *of_class, "--manifest", "-o", target]
        case Remedy.LOOK_FIRST:
            return ["jobs", *of_class]
