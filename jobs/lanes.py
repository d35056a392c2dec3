"""The lanes of work: each is the name of a task and of its queue."""

from enum import StrEnum


class Lane(StrEnum):
    """A message in a lane says "look at these rows now"; it may be lost, late or doubled freely."""

    RECONCILE = "reconcile"
    COLLECT = "collect"
    POLL = "poll"
    CANCEL = "cancel"
    SUBMIT = "submit"


SLICE = {Lane.RECONCILE: 200, Lane.COLLECT: 50, Lane.POLL: 100, Lane.CANCEL: 50, Lane.SUBMIT: 50}
