"""What can go wrong, sorted by what to do next.

Every error here carries one sentence fit to print. Which failure class a *job* ends in is another question:
see ``failures``.

    OvernightError                    a bug of ours unless a subclass says better          exit 70
    ├── Mistake                       a person must change something first                 exit 2
    │   └── Mistakes                  … several things, all listed at once
    ├── Unavailable                   database, broker, disk or API is out of reach        exit 69
    ├── Halted                        the batch cannot go on; try later                    exit 75
    └── ApiError                      how an API call failed; never leaves a task
        ├── NotSent                   nothing left this machine: free to send again
        │   └── FolderGone            … once the folder of its picture is there again
        ├── Throttled                 429: nothing may leave for ``wait`` seconds
        ├── Blocked                   the account is refused, not the job
        ├── Refused                   this very input, or question, is refused
        ├── Unconfirmed               a create may have been accepted: look it up, never post again blindly
        ├── Unanswered                a read got no usable answer: look again later
        ├── NotUploaded               the image did not get to the API: try again, but not for ever
        ├── Missing                   the API does not know this prediction (perhaps: not yet)
        ├── Unsupported               this API has no such call
        └── DownloadError             an output could not be fetched
            ├── Undelivered           try again while the URL lives
            ├── NotStored             this machine is short of files or memory: fetch it again
            ├── Gone                  the URL is dead: ask for the prediction again
            ├── BlackedOut            what came is all black: the safety check left nothing of it
            └── NotAnImage            what came is no whole image we accept
"""

from collections.abc import Sequence
from enum import StrEnum


class OvernightError(Exception):
    """Anything that overnight can say in one sentence."""

    exit_code = 70


class Mistake(OvernightError):
    """A person must change something first: usage, manifest, setting, token."""

    exit_code = 2


class Mistakes(Mistake):
    """Several mistakes, listed at once, one line each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class Unavailable(OvernightError):
    """The database, the broker, the disk or the API is out of reach."""

    exit_code = 69


class Halted(OvernightError):
    """The batch has stopped and will not go on by itself; try later."""

    exit_code = 75


class ApiError(OvernightError):
    """How an API call failed; handled inside the task that made it."""


class NotSent(ApiError):
    """Nothing left this machine: the call may be made again freely."""


class FolderGone(NotSent):
    """The folder of a picture is not there: its disk or this machine is to blame, and no job."""


class Throttled(ApiError):
    """The API answered 429: nothing may leave for ``wait`` seconds."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class BlockReason(StrEnum):
    """Why an API refuses the account rather than a job."""

    TOKEN = "token"  # noqa: S105  a word for the reason, not a secret
    CREDIT = "credit"  # or a quota that was paid for in advance, and is used up
    NOT_AN_API = "not-an-api"


class Blocked(ApiError):
    """The API refuses the account: its token, for want of credit, or because the URL is no predictions API."""

    def __init__(self, message: str, reason: BlockReason) -> None:
        super().__init__(message)
        self.reason = reason


class Refused(ApiError):
    """What was asked is refused; asking it again changes nothing. ``error_class`` of an input: see ``failures``."""

    def __init__(self, message: str, error_class: str = "invalid-input") -> None:
        super().__init__(message)
        self.error_class = error_class


class Unconfirmed(ApiError):
    """A create may have been accepted, and paid: look it up, never post again blindly."""


class Unanswered(ApiError):
    """A read got no usable answer (timeout, cut connection, 5xx, unreadable body): look again later."""


class NotUploaded(ApiError):
    """The image did not reach the API. If the API answers nothing else either, the image is not to blame."""

    def __init__(self, message: str, *, api_answers: bool) -> None:
        super().__init__(message)
        self.api_answers = api_answers


class Missing(ApiError):
    """The API does not know this prediction; a fresh id may not be known yet."""


class Unsupported(ApiError):
    """This API has no such call (404 or 405 on the collection itself)."""


class DownloadError(ApiError):
    """An output could not be fetched."""


class Undelivered(DownloadError):
    """The download broke off or was refused for now: try again while the URL lives."""


class NotStored(DownloadError):
    """What came could not be written, and the disk is not to blame: this machine is short of files or memory."""


class Gone(DownloadError):
    """The URL is dead (403, 404, 410): ask for the prediction again."""


class BlackedOut(DownloadError):
    """What came is a whole image, and all black: the safety check left nothing of it."""


class NotAnImage(DownloadError):
    """What came is no whole image of an accepted format, or is over a cap."""
