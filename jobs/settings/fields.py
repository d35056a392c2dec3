"""What a person may set: every setting, its default, and how settings constrain each other.

`written`, `apis`, `tokens` and `places` parse the single values.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobs import errors, signatures
from jobs.settings import apis, credentials, places, spelling, times, tokens, written
from jobs.settings.credentials import Credential


def _default(text: str, **more: Any) -> Any:
    """Return a field whose default is written as a person would write it, and parsed likewise."""
    return Field(text, **more)


def _given(read: Callable[[str], Any]) -> BeforeValidator:
    """Return what reads a setting that need not be given."""
    return BeforeValidator(lambda text: None if text is None else read(text))


Seconds = Annotated[float, BeforeValidator(written.duration)]
Whole = Annotated[int, BeforeValidator(written.whole)]
Rate = Annotated[int | None, BeforeValidator(written.rate)]
Token = Annotated[SecretStr | None, _given(tokens.parse)]


class Settings(BaseSettings):
    """Everything that may be set; frozen, built by `load`, passed explicitly.

    Durations are in seconds as a person gave them; code that waits takes the scaled ones from `times`. Fields
    are validated in the order of their definition, so a later one may look at earlier ones.
    """

    model_config = SettingsConfigDict(
        env_prefix="OVERNIGHT_",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,  # compose files pass unset variables as empty ones
        extra="ignore",  # a .env serves other programs too; `_misspelt` refuses what looks like ours
        frozen=True,
    )

    api: Annotated[apis.Api, NoDecode, BeforeValidator(apis.parse)] = _default(
        "quickrouter", validation_alias="OVERNIGHT_API_URL"
    )
    database_url: str = Field("", repr=False)
    broker_url: str | None = Field(None, repr=False)
    output: Path = _default("")
    creates_per_minute: Rate = _default("600")
    reads_per_minute: Rate = _default("3000")
    max_in_flight: Whole = _default("200")
    max_attempts: Whole = _default("3")
    post_deadline: Seconds = _default("20s")
    lease: Seconds = _default("60s")
    settle: Seconds = _default("120s")
    prediction_deadline: Seconds = _default("30m")
    price: Annotated[Decimal | None, _given(written.price)] = None
    time_scale: Annotated[float, BeforeValidator(written.factor)] = _default("1")
    when_unconfirmed: Literal["resubmit", "hold"] = "resubmit"
    api_token: Token = None
    api_token_file: Annotated[tokens.Kept | None, NoDecode] = None
    replicate_api_token: Token = Field(None, validation_alias="REPLICATE_API_TOKEN")
    accounts: Annotated[tuple[Credential, ...], NoDecode] = ()
    webhook_url: Annotated[str | None, _given(apis.callback)] = Field(None, repr=False)
    webhook_secret: Annotated[SecretStr | None, _given(signatures.secret)] = None

    @field_validator("database_url")
    @classmethod
    def _place_database(cls, text: str, info: ValidationInfo) -> str:
        own = f"sqlite:///overnight{_suffix(info)}.db"
        url = places.database(text or own, Path.cwd())
        if _rehearses(info) and not places.sqlite_path(url):
            raise ValueError(f"the sandbox serves one process, which works on SQLite; add --database {own}")
        return url

    @field_validator("broker_url")
    @classmethod
    def _place_broker(cls, text: str | None, info: ValidationInfo) -> str | None:
        # A rehearsal does its own work in its own process, wherever the real work is done.
        return None if _rehearses(info) else text and places.broker(text, info.data.get("database_url"))

    @field_validator("output", mode="before")
    @classmethod
    def _place_output(cls, text: str, info: ValidationInfo) -> Path:
        file = places.sqlite_path(info.data.get("database_url", ""))
        return places.folder(text or f"outputs{_suffix(info)}", file.parent if file else Path.cwd())

    @field_validator("lease", "settle")
    @classmethod
    def _outlast(cls, seconds: float, info: ValidationInfo) -> float:
        before = "post_deadline" if info.field_name == "lease" else "lease"
        if seconds <= info.data.get(before, 0):
            least = written.as_duration(info.data[before])
            # Otherwise an answer still on its way would count as lost, and the job be paid for again.
            raise ValueError(
                f"{written.as_duration(seconds)} must be longer than {variable(before)}, {least}"
            )
        return seconds

    @field_validator("when_unconfirmed", mode="before")
    @classmethod
    def _choose(cls, text: str) -> str:
        if text not in {"resubmit", "hold"}:
            raise ValueError(f'"{text}" is no choice; write resubmit or hold')
        return text

    @field_validator("api_token_file", mode="before")
    @classmethod
    def _read_token_file(cls, text: str | None, info: ValidationInfo) -> tokens.Kept | None:
        if text and info.data.get("api_token"):
            raise ValueError("OVERNIGHT_API_TOKEN is set as well; keep one of the two")
        return tokens.read(places.file(text, Path.cwd())) if text else None

    @field_validator("accounts", mode="before")
    @classmethod
    def _read_accounts(
        cls, listed: str | tuple[Credential, ...], info: ValidationInfo
    ) -> tuple[Credential, ...]:
        if isinstance(listed, tuple):
            return listed
        if alone := next((name for name in ("api_token", "api_token_file") if info.data.get(name)), None):
            raise ValueError(f"{variable(alone)} is set as well, and no account's; give it a name here, too")
        return credentials.read(listed, spelling.found(cls), info.data["api"]) if "api" in info.data else ()

    @property
    def database_path(self) -> Path | None:
        """The SQLite file; None on a server."""
        return places.sqlite_path(self.database_url)

    @property
    def log_path(self) -> Path:
        """The log file: beside the SQLite database, or in the current folder."""
        return (self.database_path or Path("overnight").resolve()).with_suffix(".log")

    @property
    def times(self) -> times.Times:
        return times.given(
            post_deadline=self.post_deadline,
            lease=self.lease,
            settle=self.settle,
            prediction_deadline=self.prediction_deadline,
            scale=self.time_scale,
        )

    @property
    def token(self) -> SecretStr | None:
        """The token that may be sent to `api`; None if there is none, or only one for another API."""
        found = self._written_token()
        return found if found and tokens.may_go_to(self.api, found) else None

    def require_token(self) -> SecretStr:
        """Return the token; Mistake says what to do if there is none."""
        if self.token:
            return self.token
        if self._written_token():
            raise errors.Mistake(
                f"a Replicate token (r8_…) is not sent to {self.api.host}; add --api replicate"
            )
        raise errors.Mistake(
            f"no token for {self.api.host}: set OVERNIGHT_API_TOKEN in the environment or in .env, "
            "or rehearse with --api sandbox"
        )

    def require_credentials(self) -> tuple[Credential, ...]:
        """Return the credentials of every account; Mistake says what to do if there are none."""
        return self.accounts or (Credential(None, self.api, self.require_token()),)

    def require_webhook_secret(self) -> SecretStr:
        """Return the secret that signs webhooks; Mistake says what to do if there is none."""
        if self.webhook_secret is None:
            raise errors.Mistake(
                "no secret to tell the API's webhooks from a stranger's: set OVERNIGHT_WEBHOOK_SECRET=whsec_… "
                "in the environment or in .env"
            )
        return self.webhook_secret

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every known token and secret, for callers that keep them out of a text."""
        held = (one.token for one in self.accounts)
        known = (self._own_token, self.replicate_api_token, self.webhook_secret, *held)
        return tuple(secret.get_secret_value() for secret in known if secret)

    def at(self, url: str) -> "Settings":
        """Return these settings with the URL at which the sandbox now listens."""
        api = apis.Api(self.api.name, url)
        return self.model_copy(
            update={"api": api, "accounts": tuple(replace(one, api=api) for one in self.accounts)}
        )

    def _written_token(self) -> SecretStr | None:
        if self.api.is_sandbox:
            return tokens.MADE_UP
        return self._own_token or (self.replicate_api_token if self.api.is_replicate else None)

    @property
    def _own_token(self) -> SecretStr | None:
        """The only account's: as it is set, or as its file has it."""
        return self.api_token or (self.api_token_file.token if self.api_token_file else None)


def variable(field: str) -> str:
    """Return the name of the variable that sets a field."""
    return str(Settings.model_fields[field].validation_alias or f"OVERNIGHT_{field.upper()}")


def _suffix(info: ValidationInfo) -> str:
    """Return the suffix that keeps a rehearsal's files apart from the real ones."""
    return "-sandbox" if _rehearses(info) else ""


def _rehearses(info: ValidationInfo) -> bool:
    return "api" in info.data and info.data["api"].is_sandbox
