"""Checks, before a run and while somebody is watching, that the API is there and knows the token. Buys nothing."""

import asyncio
from datetime import datetime
from urllib.parse import urlsplit

from jobs import errors
from jobs.settings import Settings
from jobs.settings.credentials import Credential
from worker.api import client

_TRIES = 3  # an API that fails one call in twenty is no reason to cancel a night


def greet(configured: Settings, account: Credential) -> datetime | None:
    """Ask the API for its list; raises Unavailable or Mistake if nothing can be bought there.

    Returns the API's own time at its last answer, in whole seconds; None if it gives none.
    """
    return asyncio.run(_greet(configured, account))


async def _greet(configured: Settings, account: Credential) -> datetime | None:
    async with client.PredictionClient(
        account.api.url,
        account.token,
        deadline=configured.times.post_deadline,
        connections=1,
    ) as api:
        for tries in range(1, _TRIES + 1):
            try:
                await _ask(api, account)
                break
            except errors.Unanswered as error:
                if tries == _TRIES:
                    raise errors.Unavailable(
                        f"{account.api.url} is not to be had: {_clause(error)}; "
                        "try again later, or mend OVERNIGHT_API_URL"
                    ) from error
                await asyncio.sleep(configured.times.poll_first)
        return api.date


async def _ask(api: client.PredictionClient, account: Credential) -> None:
    """Accept any answer of an API, even that it is busy, without credit, or without a list."""
    try:
        await api.list()
    except errors.Blocked as error:
        if error.reason is errors.BlockReason.TOKEN:
            raise errors.Mistake(
                f"{account.api.url} refuses the token: {_clause(error)}; mend {account.variable}"
            ) from error
    except (errors.Unsupported, errors.Unanswered) as error:
        if not await api.speaks():
            hint = "" if urlsplit(account.api.url).path else " (most such URLs end in /v1)"
            raise errors.Mistake(
                f"{account.api.url} is no predictions API: {_clause(error)}; mend OVERNIGHT_API_URL or --api{hint}"
            ) from error
        if isinstance(error, errors.Unanswered):
            raise
    except errors.ApiError:
        return


def _clause(error: Exception) -> str:
    """Return an error's sentence for use within another."""
    return str(error).rstrip(".")
