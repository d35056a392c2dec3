"""Which API is meant, and is there an account for it, where a person has named several? Asks no database."""

from jobs import errors
from jobs.settings import Settings
from jobs.settings.credentials import ANY, Credential


def named(settings: Settings, label: str | None) -> str | None:
    """Return the account that buys a batch, None for whichever there is; raises Mistake if there is none of that name.

    Where workers buy, they know their accounts.
    """
    if label is None or label == ANY:
        return None
    if not (settings.broker_url or _of_name(settings, label)):
        there = ", ".join(str(one.label) for one in settings.accounts) or "none"
        raise errors.Mistake(f"no account is named {label}; OVERNIGHT_ACCOUNTS names {there}")
    return label


def for_account(settings: Settings, label: str | None) -> Settings:
    """Return the settings with the API of an account; the same ones if it has no other."""
    return _at(settings, _of_name(settings, label))


def for_api(settings: Settings, identity: str) -> Settings:
    """Return the settings with the API that a batch was loaded for, if some account is there."""
    there = (one for one in settings.accounts if one.api.identity == identity)
    return _at(settings, next(there, None))


def may_buy(settings: Settings, label: str | None) -> tuple[Credential, ...]:
    """Return the accounts that may buy a batch at the API of the settings; raises Mistake if there is none."""
    held = settings.require_credentials()
    here = [one for one in held if one.api.identity == settings.api.identity]
    found = tuple(one for one in here if label in {None, one.label})
    if not found:
        elsewhere = ", ".join(f"{one.label} at {one.api.url}" for one in held)
        wanted = f"no account {label}" if label else "no account"
        raise errors.Mistake(
            f"there is {wanted} at {settings.api.url}, only {elsewhere}; name one with --account"
        )
    return found


def _of_name(settings: Settings, label: str | None) -> Credential | None:
    return next((one for one in settings.accounts if one.label == label), None)


def _at(settings: Settings, one: Credential | None) -> Settings:
    return settings if one is None else settings.model_copy(update={"api": one.api})
