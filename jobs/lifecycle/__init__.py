"""The life cycle: the only writer of jobs, attempts and outputs. One function per arrow, named by its word.

Every arrow takes the open transaction, the database's time and many rows at once, and returns what won: fences, ids,
keys or their number. A stale worker loses: its fence names an attempt that is no longer the job's.
"""

from jobs.lifecycle.beginning import begin, hold_back
from jobs.lifecycle.buying import accepted, lost, not_bought, refused, release, wanting
from jobs.lifecycle.confirming import absent, adopted, presumed_absent, unprovable
from jobs.lifecycle.deciding import (
    ACCEPTED,
    REFUSED,
    ask_to_cancel,
    cancel,
    cancel_unsent,
    change_input,
    give_up,
    retry,
    sent,
)
from jobs.lifecycle.fence import Fence, settle
from jobs.lifecycle.finding import ANY_ORPHAN, found_late, orphans, recalled
from jobs.lifecycle.finishing import cancelled, dropped, failed, interrupted, kept, produced, stored
from jobs.lifecycle.handing import (
    OF_ACCOUNTS,
    cancel_refused,
    cancel_sent,
    hand_out,
    hand_out_cancels,
    look_again,
    look_sooner,
    missed,
)
from jobs.lifecycle.loading import Wanted, add, forget, replace_input
from jobs.lifecycle.records import (
    Accepted,
    Blackened,
    Failure,
    File,
    Image,
    Interrupted,
    Lost,
    NotBought,
    Produced,
    Stray,
    Submission,
    UploadPending,
)
from jobs.lifecycle.rescuing import expire_sends, rescue, take_over
from jobs.lifecycle.uploading import not_uploaded, upload_ended

__all__ = [
    "ACCEPTED",
    "ANY_ORPHAN",
    "OF_ACCOUNTS",
    "REFUSED",
    "Accepted",
    "Blackened",
    "Failure",
    "Fence",
    "File",
    "Image",
    "Interrupted",
    "Lost",
    "NotBought",
    "Produced",
    "Stray",
    "Submission",
    "UploadPending",
    "Wanted",
    "absent",
    "accepted",
    "add",
    "adopted",
    "ask_to_cancel",
    "begin",
    "cancel",
    "cancel_refused",
    "cancel_sent",
    "cancel_unsent",
    "cancelled",
    "change_input",
    "dropped",
    "expire_sends",
    "failed",
    "forget",
    "found_late",
    "give_up",
    "hand_out",
    "hand_out_cancels",
    "hold_back",
    "interrupted",
    "kept",
    "look_again",
    "look_sooner",
    "lost",
    "missed",
    "not_bought",
    "not_uploaded",
    "orphans",
    "presumed_absent",
    "produced",
    "recalled",
    "refused",
    "release",
    "replace_input",
    "rescue",
    "retry",
    "sent",
    "settle",
    "stored",
    "take_over",
    "unprovable",
    "upload_ended",
    "wanting",
]
