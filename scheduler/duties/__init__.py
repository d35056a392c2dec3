"""What one tick does, lane by lane: each duty is a short transaction that yields what to send.

A row that is due is due, whoever died. Handing it out moves `due_at` one lease ahead; if the message that
follows is lost, the row is due again.
"""

from scheduler.duties.cancelling import cancel
from scheduler.duties.collecting import collect
from scheduler.duties.confirming import reconcile, sweep, sweep_now
from scheduler.duties.looking import lanes, may_rescue
from scheduler.duties.messages import Again, Message
from scheduler.duties.polling import poll
from scheduler.duties.releasing import release
from scheduler.duties.rescuing import limit_losses, rescue
from scheduler.duties.turns import Scope

__all__ = [
    "Again",
    "Message",
    "Scope",
    "cancel",
    "collect",
    "lanes",
    "limit_losses",
    "may_rescue",
    "poll",
    "reconcile",
    "release",
    "rescue",
    "sweep",
    "sweep_now",
]
