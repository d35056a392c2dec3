"""Settings that are no mistake, but worth a warning before the first purchase."""

from urllib.parse import urlsplit

from jobs.settings import Settings, apis, tokens


def of(settings: Settings) -> list[str]:
    """Return one line for each."""
    return [*exposed(settings), *unwise(settings)]


def exposed(settings: Settings) -> list[str]:
    """Warn of files with tokens that others can read."""
    files = [settings.api_token_file.path] if settings.api_token_file else []
    files += [account.file for account in settings.accounts if account.file]
    return [line for line in map(tokens.exposure, files) if line]


def unwise(settings: Settings) -> list[str]:
    """Warn of values that do not go with the API."""
    return [line for line in (_unreachable(settings), _hasty(settings)) if line]


def _unreachable(settings: Settings) -> str | None:
    """Warn that an API elsewhere cannot call a webhook on this machine."""
    url, api = settings.webhook_url, settings.api
    if url is None or api.is_local or not apis.is_loopback(urlsplit(url).hostname or ""):
        return None
    return f"OVERNIGHT_WEBHOOK_URL is on this machine, where {api.host} cannot call it"


def _hasty(settings: Settings) -> str | None:
    """Warn that a real API is not as fast as a rehearsal's: what is bought there may be cut short, or bought twice."""
    if settings.time_scale >= 1 or settings.api.is_local:
        return None
    return (
        f"OVERNIGHT_TIME_SCALE is {settings.time_scale:g}, which is for rehearsals: a real API is made to end "
        "predictions too early, and purchases without an answer are looked up too soon; unset it"
    )
