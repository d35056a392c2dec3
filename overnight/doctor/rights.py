"""Check whether other users of this machine can read the token, passwords or prompts; changes no permission."""

from collections.abc import Iterator
from pathlib import Path

from pydantic_settings import DotEnvSettingsSource

from jobs.settings import Settings, cautions, tokens
from overnight.doctor import findings
from overnight.doctor.findings import Finding

_TOKENS = "overnight_api_token_"  # followed by an account's name
_SECRET = frozenset(
    {
        "overnight_api_token", "replicate_api_token", "overnight_database_url", "overnight_broker_url",
        "postgres_password", "pgpassword",
    }
)  # fmt: skip


def look(settings: Settings) -> Iterator[Finding]:
    """Warn of each file that every user can read and should not."""
    exposed = [*cautions.exposed(settings), *_dotenv(), *_database(settings)]
    for words in exposed:
        yield findings.warning("rights", words)
    if not exposed:
        yield findings.ok("rights", "no other user can read a token, a password or the database's file")


def _dotenv() -> Iterator[str]:
    path = Path(".env").resolve()
    held = {name.lower() for name, value in DotEnvSettingsSource(Settings).env_vars.items() if value}
    if any(name in _SECRET or name.startswith(_TOKENS) for name in held) and tokens.is_exposed(path):
        yield f"every user of this machine can read what is secret in .env; type: chmod 600 {path}"


def _database(settings: Settings) -> Iterator[str]:
    path = settings.database_path
    if path and path.exists() and tokens.is_exposed(path):
        yield f"every user of this machine can read the prompts in the database; type: chmod 600 {path}"
