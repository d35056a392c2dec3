"""`overnight webhook`: have the API call when a prediction ends, instead of asking it again and again."""

import click

from jobs.settings import Settings
from overnight import options


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8600, show_default=True, type=click.IntRange(0, 65535), help="0: any free port."
)
@options.with_settings
def command(settings: Settings, host: str, port: int) -> None:
    """Take the calls that OVERNIGHT_WEBHOOK_URL asks the API for, until SIGTERM.

    Speaks http: a proxy in front of it has the certificate and passes https calls on as they are. A call must be
    signed with OVERNIGHT_WEBHOOK_SECRET; then the one job that waits for its prediction is looked at.
    """
    from jobs import errors, logs
    from overnight import opened
    from overnight.webhooks import server

    settings.require_webhook_secret()
    logs.to_stderr(settings.secrets)
    with opened.found_or_made(settings) as db:
        try:
            refusal = server.serve(settings, db, host, port, _announce)
        except OSError as error:
            raise errors.Unavailable(
                f"webhook: {host}:{port}: {error.strerror}; choose another --host or --port"
            ) from None
    if refusal:
        raise errors.Unavailable(refusal)


def _announce(url: str) -> None:
    """Print where calls are taken; a parent may wait for this line."""
    click.echo(f"webhooks are taken at {url}")
