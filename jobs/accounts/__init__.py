"""The account's row: quota, throttle, breaker, and what is known about its API. The only writer of `accounts`."""

from jobs.accounts.pacing import forget_the_future, give_back, observe, probe_now, probed, refill, spend
from jobs.accounts.rows import Account, every, follow_settings, get, known, name, register, retune
from jobs.accounts.sight import (
    blind_spot,
    glanced,
    hinted,
    hinted_at,
    list_learned,
    list_missing,
    lists,
    sweep_again,
    sweep_for_images,
    swept,
)

__all__ = [
    "Account",
    "blind_spot",
    "every",
    "follow_settings",
    "forget_the_future",
    "get",
    "give_back",
    "glanced",
    "hinted",
    "hinted_at",
    "known",
    "list_learned",
    "list_missing",
    "lists",
    "name",
    "observe",
    "probe_now",
    "probed",
    "refill",
    "register",
    "retune",
    "spend",
    "sweep_again",
    "sweep_for_images",
    "swept",
]
