"""Which API is meant, and which accounts may buy there, if a person has named several. Asks no database."""

from jobs import errors
from jobs.settings import Settings, credentials
from jobs.settings.credentials import ANY, Credential


def named(settings: Settings, label: str | None) -> str | None:
    """Return the account that is to buy a batch, None for any; raises Mistake if there is none of that name.

    With a broker only its form is checked: the workers buy, and only they know their accounts.
    """
    if label is None or label == ANY:
        return None
    if not credentials.is_name(label):
        raise errors.Mistake(f"--account: {label!a} is no name of one account, nor {ANY}")
    if not (settings.broker_url or _of_name(settings, label)):
        there = ", ".join(str(one.label) for one in settings.accounts) or "none"
        raise errors.Mistake(f"no account is named {label}; OVERNIGHT_ACCOUNTS names {there}")
    return label


def for_account(settings: Settings, label: str | None) -> Settings:
    """Return the settings with the API of an account; unchanged if there is no such account."""
    return _at(settings, _of_name(settings, label))


def for_api(settings: Settings, identity: str) -> Settings:
    """Return the settings with the API that a batch was loaded for, if some account uses it."""
    if identity == settings.api.identity:
        return settings
    there = (one for one in settings.accounts if one.api.identity == identity)
    return _at(settings, next(there, None))


def may_buy(settings: Settings, label: str | None) -> tuple[Credential, ...]:
    """Return the accounts that may buy a batch at the settings' API; raises Mistake if there are none."""
    held = settings.require_credentials()
    here = [one for one in held if one.api.identity == settings.api.identity]
    found = tuple(one for one in here if label in {None, one.label})
    if not found:
        raise errors.Mistake(_lacking(settings, label))
    return found


def _lacking(settings: Settings, label: str | None) -> str:
    """Say which account there is none of, and what to set: a batch stays with its account and its API."""
    url = settings.api.url
    if label is None:
        elsewhere = ", ".join(f"{one.label} at {one.api.url}" for one in settings.accounts)
        return f"there is no account at {url}, only {elsewhere}; name one with --account"
    for_token, _, for_url = credentials.variables_of(label)
    if there := _of_name(settings, label):
        return f"account {label} is at {there.api.url}, but buys the batch at {url}; set {for_url}={url} and its token"
    return f"no account is named {label}, which alone buys the batch; add it to OVERNIGHT_ACCOUNTS, and set {for_token}"


def _of_name(settings: Settings, label: str | None) -> Credential | None:
    return next((one for one in settings.accounts if one.label == label), None)


def _at(settings: Settings, one: Credential | None) -> Settings:
    return settings if one is None else settings.model_copy(update={"api": one.api})
