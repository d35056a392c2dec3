"""How many calls an account's duties may ask for, by its buckets, throttle and breaker."""

from datetime import timedelta

from jobs import accounts
from jobs.accounts.breaker import Failing
from jobs.settings.times import Times
from scheduler.duties.turns import AT_ONCE, Turn

PROBE = 1


def reads(turn: Turn) -> int:
    """Return how many calls other than creates may leave now; while the API may be away, only a probe that is due."""
    account = turn.account
    if account.must_wait(turn.now):
        return 0
    if account.breaker.is_away or (account.breaker.in_doubt and not creates_in_doubt(account)):
        return PROBE if may_probe(turn) else 0
    return max(0, int(min(account.reads_tokens, AT_ONCE)))


def may_probe(turn: Turn) -> bool:
    """Whether the next probe is due; in a stop without a time for it, a person must ask for one."""
    breaker = turn.account.breaker
    return breaker.in_doubt if breaker.probe_at is None else breaker.probe_at <= turn.now


def probed(turn: Turn, *, under_way: int = 0) -> None:
    """Record that a probe has left, and when the next may: soon, while it is only a doubt.

    ``under_way`` counts the creates without an outcome yet, the probe included.
    """
    breaker, later = turn.account.breaker, turn.now + timedelta(seconds=turn.times.canary)
    soon = breaker.try_again_at(under_way, turn.now, turn.times)
    accounts.probed(turn.tx, turn.account.id, soon if breaker.in_doubt else later)


def creates_in_doubt(account: accounts.Account) -> bool:
    """Whether only creates are in doubt. Polls then wait: they may fail too, and prove nothing about creates."""
    return account.breaker.in_doubt and account.breaker.failing is Failing.CREATES


def longest_doubt(times: Times) -> timedelta:
    """Return how long a doubt can last, with the last create unanswered: by then it is an outage or over."""
    return timedelta(seconds=times.outage_after + times.post_deadline)


def is_fresh_doubt(turn: Turn) -> bool:
    """Whether it may soon be an outage. If no more creates are wanted, a doubt about them stays, and says nothing."""
    breaker, since = turn.account.breaker, turn.account.breaker.failing_since
    stays = since is not None and turn.now > since + longest_doubt(turn.times)
    return breaker.in_doubt and not (stays and creates_in_doubt(turn.account))
