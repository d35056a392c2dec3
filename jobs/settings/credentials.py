"""Which accounts a person has named, and the token and API of each. `tokens` parses the tokens.

`OVERNIGHT_ACCOUNTS=main,spare` names them; the token of `main` is `OVERNIGHT_API_TOKEN_MAIN`, and so on.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from jobs.settings import apis, places, tokens
from jobs.settings.apis import Api

ANY = "any"  # stands for every account at an API, so it names none
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# `any` is reserved; the variables of an account `file` would be those of other accounts' token files.
_TAKEN = re.compile(rf"{ANY}|file(-.*)?")
_STEMS = ("OVERNIGHT_API_TOKEN", "OVERNIGHT_API_TOKEN_FILE", "OVERNIGHT_API_URL")

Found = Mapping[str, str | None]
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Credential:
    """What is needed to work for an account; without a label it is the only one."""

    label: str | None
    api: Api
    token: SecretStr
    file: Path | None = None  # where the token was read from

    @property
    def variable(self) -> str:
        """The variable to correct if the token is wrong."""
        return token_of(self.label)


class Wrong(ValueError):
    """Mistakes in the variables of accounts, one line each, under the variable's name."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def variables(listed: str) -> list[str]:
    """Return the variables that the accounts of `OVERNIGHT_ACCOUNTS` may have.

    >>> variables("main")
    ['OVERNIGHT_API_TOKEN_MAIN', 'OVERNIGHT_API_TOKEN_FILE_MAIN', 'OVERNIGHT_API_URL_MAIN']
    """
    return [variable for name in _split(listed) for variable in variables_of(name)]


def variables_of(name: str) -> tuple[str, str, str]:
    """Return the variables of one account: its token, its token's file, its API's URL."""
    token, file, url = (_variable(stem, name) for stem in _STEMS)
    return token, file, url


def token_of(label: str | None) -> str:
    """Return the variable of an account's token; without a label, of the only account's."""
    return _variable(_STEMS[0], label) if label else _STEMS[0]


def read(listed: str, found: Found, usual: Api) -> tuple[Credential, ...]:
    """Return the listed accounts; raises Wrong with every mistake."""
    names = _names(listed)
    lines: list[str] = []
    read: list[Credential] = []
    for name in names:
        try:
            read.append(_one(name, found, usual))
        except Wrong as wrong:
            lines += wrong.lines
    lines += _doubled(read)
    if lines:
        raise Wrong(lines)
    return tuple(read)


def is_name(text: str) -> bool:
    """Whether an account may have this name; it becomes a part of variables' names."""
    return _NAME.fullmatch(text) is not None


def _split(listed: str) -> list[str]:
    return [name for part in listed.split(",") if (name := part.strip())]


def _names(listed: str) -> list[str]:
    names = _split(listed)
    for name in names:
        if not is_name(name):
            raise ValueError(f'"{name}" is no name of an account; write a to z, 0 to 9 and single hyphens')
        if _TAKEN.fullmatch(name):
            raise ValueError(f'"{name}" cannot be the name of an account; choose another')
        if names.count(name) > 1:
            raise ValueError(f"{name} is named twice")
    return names


def _one(name: str, found: Found, usual: Api) -> Credential:
    if usual.is_sandbox:  # it must never see a real token
        return Credential(name, usual, tokens.made_up(name))
    for_token, for_file, for_api = variables_of(name)
    text, path = found.get(for_token), found.get(for_file)
    if text and path:
        raise Wrong([f"{for_file}: {for_token} is set as well; keep one of the two"])
    if not (text or path):
        raise Wrong([f"{for_token}: no token for account {name}; set it, or {for_file}"])
    api = _told(for_api, lambda: apis.parse(found.get(for_api) or "")) if found.get(for_api) else usual
    if api.is_sandbox:
        raise Wrong([f"{for_api}: the sandbox is for all accounts or for none; add --api sandbox"])
    if path:
        kept = _told(for_file, lambda: tokens.read(places.file(path, Path.cwd())))
        return _fit(Credential(name, api, kept.token, kept.path), for_file, for_api)
    return _fit(Credential(name, api, _told(for_token, lambda: tokens.parse(text or ""))), for_token, for_api)


def _told(variable: str, read: Callable[[], ValueT]) -> ValueT:
    """Return what is read; Wrong reports a mistake under the variable's name, never its value."""
    try:
        return read()
    except ValueError as error:
        raise Wrong([f"{variable}: {error}"]) from None


def _fit(one: Credential, variable: str, for_api: str) -> Credential:
    if not tokens.may_go_to(one.api, one.token):
        raise Wrong(
            [f"{variable}: a Replicate token (r8_…) is not sent to {one.api.host}; set {for_api}=replicate"]
        )
    return one


def _doubled(read: Sequence[Credential]) -> list[str]:
    """Report two names for one account: it would be given twice its quota."""
    lines = []
    for place, one in enumerate(read):
        for earlier in read[:place]:
            if (earlier.api, earlier.token) == (one.api, one.token):
                variable = _variable(_STEMS[1] if one.file else _STEMS[0], one.label or "")
                lines.append(f"{variable}: the same token as account {earlier.label}'s, at the same API")
    return lines


def _variable(stem: str, name: str) -> str:
    return f"{stem}_{name.upper().replace('-', '_')}"
