"""Settings that are no mistake, but worth a warning before the first purchase."""

from jobs.settings import Settings, apis, tokens


def of(settings: Settings) -> list[str]:
    """Return one line for each."""
    files = [settings.api_token_file.path] if settings.api_token_file else []
    files += [account.file for account in settings.accounts if account.file]
    return [line for line in (*map(tokens.exposure, files), _unreachable(settings)) if line]


def _unreachable(settings: Settings) -> str | None:
    """Warn that an API elsewhere cannot call a webhook on this machine."""
    url, api = settings.webhook_url, settings.api
    if url is None or api.is_local or not apis.is_local_url(url):
        return None
    return f"OVERNIGHT_WEBHOOK_URL is on this machine, where {api.host} cannot call it"
