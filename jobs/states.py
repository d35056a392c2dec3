"""The life cycle as data: which states exist and which moves are legal. Pure; imports nothing of ours."""

from enum import StrEnum


class State(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    QUEUED = "queued"
    SUBMITTING = "submitting"
    UNCONFIRMED = "unconfirmed"
    RUNNING = "running"
    COLLECTING = "collecting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """Where an attempt stands; the first four are open."""

    SUBMITTING = "submitting"
    UNCONFIRMED = "unconfirmed"
    RUNNING = "running"
    COLLECTING = "collecting"
    REFUSED = "refused"
    ABSENT = "absent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ORPHAN = "orphan"


class BatchState(StrEnum):
    """Where a batch stands; *finished* is derived, never stored."""

    LOADING = "loading"
    READY = "ready"
    OPEN = "open"
    PAUSED = "paused"
    CANCELLED = "cancelled"


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
IN_FLIGHT = frozenset({State.QUEUED, State.SUBMITTING, State.UNCONFIRMED, State.RUNNING})
UNDER_WAY = IN_FLIGHT | {State.COLLECTING}
OPEN_PHASES = frozenset({Phase.SUBMITTING, Phase.UNCONFIRMED, Phase.RUNNING, Phase.COLLECTING})
UNSETTLED_PHASES = frozenset({Phase.SUBMITTING, Phase.UNCONFIRMED})

# From each state, the states that an arrow of the life cycle leads to. `lifecycle` has one function per arrow,
# and a test checks that no other pair of states can be written.
TRANSITIONS: dict[State, frozenset[State]] = {
    # pending, queued or failed to running: an id that arrived late, adopted before anything was bought again
    State.PENDING: frozenset({State.QUEUED, State.CANCELLED, State.RUNNING}),
    State.QUEUED: frozenset({State.PENDING, State.SUBMITTING, State.CANCELLED, State.RUNNING}),
    State.SUBMITTING: frozenset({State.PENDING, State.UNCONFIRMED, State.RUNNING, State.FAILED}),
    State.UNCONFIRMED: frozenset({State.PENDING, State.RUNNING, State.FAILED}),
    State.RUNNING: frozenset({State.PENDING, State.COLLECTING, State.FAILED, State.CANCELLED}),
    State.COLLECTING: frozenset({State.SUCCEEDED, State.FAILED}),
    State.SUCCEEDED: frozenset({State.PENDING}),
    State.FAILED: frozenset({State.PENDING, State.CANCELLED, State.RUNNING}),
    State.CANCELLED: frozenset({State.PENDING}),
}
