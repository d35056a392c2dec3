"""Which API the sandbox imitates: what one of this kind lacks or words differently, and which faults it has.

Faults can be healed; what an API lacks stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How an API of one kind differs from Replicate's.

    ``lacks`` are kinds of calls, as the guard counts them, that answer 404. ``elsewhere`` is the base of the URLs
    that it gives, of predictions and of the list's other pages; None means its own. ``created`` is the status of an
    accepted create.
    """

    lacks: frozenset[str] = frozenset()
    one_api_errors: bool = False
    elsewhere: str | None = None
    created: int = 201
    faults: Mapping[str, float] = field(default_factory=dict)


_ELSEWHERE = "https://predictions.invalid"
# First what strikes every prediction, then a little of each other kind: about one POST in seven goes wrong.
_HOSTILE = {
    "list_lag": 1.0,
    "list_shuffle": 1.0,
    "rewritten": 1.0,
    "late_exec": 0.02,
    "refuse": 0.02,
    "502_before": 0.02,
    "429": 0.002,
    "429_odd:text": 0.001,
    "html200": 0.005,
    "exec_and_timeout": 0.01,
    "exec_and_drop": 0.02,
    "exec_and_reset": 0.01,
    "502_after": 0.02,
    "bad_json": 0.005,
    "no_id": 0.005,
    "fail_transient": 0.03,
    "nsfw": 0.01,
    "oom": 0.005,
    "aborted": 0.01,
    "stuck": 0.002,
    "unknown_status": 0.02,
    "get_5xx": 0.05,
    "get_odd": 0.01,
    "cancel_lost": 0.1,
    "vanish:while": 0.02,
    "flagged": 0.01,
    "blacked_out": 0.01,
    "inline": 0.02,
    "early_output": 0.05,
    "other_version": 0.05,
    "undated": 0.02,
    "redirect:once": 0.02,
    "not_image": 0.01,
    "bomb": 0.002,
    "output_busy": 0.02,
    "truncate": 0.02,
    "no_length_cut": 0.01,
    "drip": 0.002,
    "stale": 0.01,
    "expire_url:removed": 0.002,
    "gone_403": 0.5,
}

PROFILES: Mapping[str, Profile] = {
    "replicate": Profile(),
    "gateway": Profile(
        lacks=frozenset({"list", "cancel", "file"}),
        one_api_errors=True,
        elsewhere=_ELSEWHERE,
        created=200,
        faults={"terse:created": 1.0},
    ),
    "hostile": Profile(elsewhere=_ELSEWHERE, faults=_HOSTILE),
}
MEANINGS: Mapping[str, str] = {
    "replicate": "the API as its makers describe it",
    "gateway": "no list, no cancel, no files; terse answers to creates; one-api's errors; urls on another host",
    "hostile": "late lists, pages out of order, rewritten inputs, late accepts, and some of every fault",
}
