"""The lanes of work, in the order in which they matter: each is a task's name and its queue's."""

from enum import StrEnum


class Lane(StrEnum):
    """What a message says: look at these rows now. It may be lost, late or doubled freely."""

    RECONCILE = "reconcile"
    COLLECT = "collect"
    POLL = "poll"
    CANCEL = "cancel"
    SUBMIT = "submit"


SLICE = {Lane.RECONCILE: 200, Lane.COLLECT: 50, Lane.POLL: 100, Lane.CANCEL: 50, Lane.SUBMIT: 50}
