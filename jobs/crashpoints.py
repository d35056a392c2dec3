"""Named places at which a test makes a process die, freeze or fail. Outside such a test they do nothing.

Each lies between two steps that belong together, where a power cut would hurt most.
`CRASHPOINT=NAME:NTH:MODE` in the environment strikes the NTH time that a place is reached.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum

VARIABLE = "CRASHPOINT"
_SLEEP = 5.0  # seconds


class Place(StrEnum):
    """Every place, in the order in which a job meets them."""

    AFTER_CHUNK_COMMIT = "after_chunk_commit"  # some rows of a manifest are in, the others not
    BEFORE_BATCH_READY = "before_batch_ready"  # all rows are in, the batch is still loading
    AFTER_TAKEOVER = "after_takeover"  # a dead process's leases are ended, nobody works yet
    BEFORE_MESSAGE = "before_message"  # handed out, no message sent
    AFTER_MESSAGE = "after_message"  # message sent, the scheduler's next duty not begun
    AFTER_RESCUE = "after_rescue"  # leases are ended, their rows not handed out again
    BEFORE_INTENT_COMMIT = "before_intent_commit"  # the intent is written, not committed
    AFTER_INTENT_COMMIT = "after_intent_commit"  # committed, nothing sent
    AFTER_UPLOAD = "after_upload"  # the image is at the API, the create not sent
    BEFORE_POST = "before_post"  # the last check whether it may leave has passed
    DURING_POST = "during_post"  # the bytes have left, no answer yet
    AFTER_POST_RESPONSE = "after_post_response"  # the id is only in memory
    BEFORE_IDS_COMMIT = "before_ids_commit"  # the ids are written, not committed
    AFTER_IDS_COMMIT = "after_ids_commit"  # bought, and nobody looks yet
    AFTER_LIST_PAGE = "after_list_page"  # a page was read, the walk goes on
    BEFORE_WALK_COMMIT = "before_walk_commit"  # adoptions and absences are written, not committed
    AFTER_WALK_COMMIT = "after_walk_commit"
    AFTER_POLL_RESPONSE = "after_poll_response"  # the outcome is only in memory
    BEFORE_ENDS_COMMIT = "before_ends_commit"  # what the polls found is written, not committed
    AFTER_ENDS_COMMIT = "after_ends_commit"  # the outputs exist, nobody fetches yet
    DURING_DOWNLOAD = "during_download"  # a part of an image has come
    BEFORE_RENAME = "before_rename"  # whole and on disk, under a temporary name
    AFTER_RENAME = "after_rename"  # under its own name, not yet synced, and in no row
    BEFORE_STORED_COMMIT = "before_stored_commit"  # the files' rows are written, not committed
    AFTER_STORED_COMMIT = "after_stored_commit"
    AFTER_CANCEL_ANSWER = "after_cancel_answer"  # the API was asked to end it, the row does not say so
    DURING_MIGRATION = "during_migration"  # revisions are applied, not committed


class Struck(Exception):
    """What a place raises in the mode `raise`; it stands for a bug in the program itself."""


Hook = Callable[[Place], None]


def _raise() -> None:
    raise Struck


MODES: Mapping[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "raise": _raise,
    "sleep": lambda: time.sleep(_SLEEP),
}


def parse(text: str) -> Hook | None:
    """Return the hook for ``NAME:NTH:MODE``, or None for an empty text; ValueError says what is wrong.

    >>> parse("") is None
    True
    >>> parse("nowhere:1:kill")
    Traceback (most recent call last):
    ValueError: 'nowhere' is not a valid Place
    """
    if not text:
        return None
    name, nth, mode = text.split(":")
    return _nth(Place(name), int(nth), MODES[mode])


def _nth(place: Place, nth: int, strike: Callable[[], None]) -> Hook:
    lock, left = threading.Lock(), nth

    def hook(reached: Place) -> None:
        nonlocal left
        if reached is place:
            with lock:
                left -= 1
                now = not left
            if now:
                strike()

    return hook


_hook: Hook | None = parse(os.environ.get(VARIABLE, ""))


def listen(hook: Hook | None) -> Hook | None:
    """Call ``hook`` at every place of this process from now on; return the previous hook."""
    global _hook
    before, _hook = _hook, hook
    return before


def reach(place: Place) -> None:
    """Report that the process has reached this place."""
    if _hook is not None:
        _hook(place)
