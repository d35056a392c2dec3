"""What is handed to a worker for an attempt, and what it may report of one: small frozen facts, no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobs.lifecycle.fence import Fence


@dataclass(frozen=True, slots=True)
class Submission:
    """One job whose intent to buy is committed: what to post."""

    fence: Fence
    batch: int
    name: str  # BATCH/KEY, for people
    version: str
    image: str
    images_root: str
    input: Mapping[str, Any]  # without the image
    suspect: bool  # a worker that had begun it fell silent


@dataclass(frozen=True, slots=True)
class Accepted:
    """The API gave the prediction an id: it is bought."""

    fence: Fence
    prediction_id: str
    made_at: datetime | None = None  # if it was found in the list
    dead: bool = False  # it has ended without an image


@dataclass(frozen=True, slots=True)
class Stray:
    """A prediction that belongs to a job, by its seed and input, but is recorded in no attempt."""

    job: int
    account_id: int
    prediction_id: str
    made_at: datetime
    shared: bool = False  # by its seed and input it may just as well be another job's
    dead: bool = False  # it has ended without an image


@dataclass(frozen=True, slots=True)
class NotBought:
    """Nothing was bought and nothing is wrong with the job: try again at ``due_at``."""

    fence: Fence
    message: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class UploadPending:
    """The image is not at the API: try again after ``wait``, doubled for each earlier ``counted`` failure."""

    fence: Fence
    message: str
    wait: timedelta
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """The POST may have been accepted; ``sent_at`` is when its bytes began to leave."""

    fence: Fence
    message: str
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Failure:
    """The job's own failure."""

    fence: Fence
    error_class: str
    message: str
    predict_time: float | None = None  # seconds
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The prediction ended in a way that may pass: buy again at ``due_at``."""

    fence: Fence
    error_class: str
    message: str
    due_at: datetime
    counted: bool = True  # an aborted prediction was never charged and does not count
    predict_time: float | None = None  # seconds
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Produced:
    """The prediction succeeded; its outputs wait at the provider."""

    fence: Fence
    urls: tuple[str | None, ...]  # None: the reply carried the image itself
    produced_at: datetime
    predict_time: float | None = None  # seconds
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Blackened:
    """An output that the safety check blacked out: there is nothing of it to keep."""

    fence: Fence
    index: int


@dataclass(frozen=True, slots=True)
class File:
    """A whole image on disk; ``path`` is relative to OUTPUT, with ``/`` between its parts."""

    path: str
    media_type: str
    bytes: int
    width: int
    height: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Image:
    """An output whose file is in place."""

    fence: Fence
    index: int
    file: File
