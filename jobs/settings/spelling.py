"""What a person set in vain: variables that are no settings of ours or have no value, lines that are no variables.

They would silently do nothing.
"""

import difflib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from dotenv import parser
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource

_OF_AN_ACCOUNT = "OVERNIGHT_API_TOKEN_"
_QUOTED = re.compile(r"\s*[^=\n]+=\s*['\"]")


def unreadable(file: Path) -> Iterator[str]:
    """Yield one line for each line of a `.env` that is passed over as it cannot be parsed; none is repeated.

    Any of them may hold a secret.
    """
    for place, binding in _bindings(file):
        if binding.error:
            yield f"{place}: {_amiss(binding.original.string)}"


def placed(lines: Iterable[str], file: Path) -> list[str]:
    """Return lines that begin with a variable's name, with file and line before those that are set in a `.env`."""
    places = {binding.key.upper(): place for place, binding in _bindings(file) if binding.key}
    elsewhere = {name.upper() for name, value in os.environ.items() if value}
    at = {name: f"{place}: " for name, place in places.items() if name not in elsewhere}
    return [at.get(line.partition(":")[0], "") + line for line in lines]


def _bindings(file: Path) -> Iterator[tuple[str, parser.Binding]]:
    """Yield what a `.env` binds, with file and line; nothing if there is none."""
    if not file.is_file():
        return
    with file.open(encoding="utf-8") as text:
        for binding in parser.parse_stream(text):
            written = binding.original.string
            blank = written[: len(written) - len(written.lstrip())].count("\n")
            yield f"{file.resolve()}:{binding.original.line + blank}", binding


def _amiss(written: str) -> str:
    if _QUOTED.match(written):
        return "has a quote that is not closed, or text after it; write NAME=VALUE, or NAME='VALUE'"
    return 'is not of the form NAME=VALUE; write it so, or put "#" before it'


def found(settings: type[BaseSettings]) -> dict[str, str | None]:
    """Return every variable set in the environment or in `.env`, by its name in capitals."""
    there = {**DotEnvSettingsSource(settings).env_vars, **EnvSettingsSource(settings).env_vars}
    return {name.upper(): value for name, value in there.items()}


def mistakes(there: Mapping[str, str | None], known: Collection[str]) -> list[str]:
    """Return one line for each mistake; names are in capitals, and a value of None is a bare name in `.env`."""
    lines = []
    for name, value in sorted(there.items()):
        if name in known and value is None:
            lines.append(f"{name}: no value; write {name}=…")
        elif name.startswith("OVERNIGHT_") and name not in known:
            lines.append(f"{name}: no such setting{_meant(name, known)}")
    return lines


def _meant(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    own = name.removeprefix(_OF_AN_ACCOUNT).removeprefix("FILE_")
    if name.startswith(_OF_AN_ACCOUNT) and own and not (near and near[0].startswith(_OF_AN_ACCOUNT)):
        return f"; if it is an account's, name {own.lower().replace('_', '-')} in OVERNIGHT_ACCOUNTS"
    return f"; did you mean {near[0]}?" if near else ""
