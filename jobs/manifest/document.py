"""YAML as plain values with the line they start on: text, lists and mappings, and none of YAML's extras.

It reads events, not objects: nothing is constructed, an alias is refused before it can multiply, and of a long list
only one job at a time is built. Scalars stay the text that was written: the model's schema decides their type.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from jobs.manifest import source

LARGEST = 64_000_000
_DEEPEST = 20
_MERGE = "<<"
_QUOTED = "put text with any of : # [ { @ * or a quote in quotes, and indent with blanks, not tabs"
_ESCAPED = "in double quotes write a backslash twice, or use single quotes"
# A plain scalar that YAML reads as nothing; the same word in quotes is text.
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
# JSON's escape for a character beyond 16 bits, such as an emoji: two surrogates. YAML accepts neither.
_PAIR = re.compile(rb"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


@dataclass(frozen=True, slots=True)
class Node:
    """One value and the line it starts on; text is None where nothing was written."""

    line: int
    value: "str | list[Node] | dict[str, Node] | None"


class Document:
    """One YAML file; each walk parses it from the start."""

    def __init__(self, manifest: source.Source) -> None:
        self._manifest = manifest
        self._data = manifest.file.read(LARGEST + 1)
        if len(self._data) > LARGEST:
            raise manifest.problem(
                "is larger than 64 MB: put the rows into a CSV file and write jobs: FILE.csv"
            )
        self._check_text()
        if self._data.lstrip().startswith(b"{"):
            self._data = _PAIR.sub(_joined, self._data)

    def _check_text(self) -> None:
        try:
            self._data.decode()
        except UnicodeDecodeError as error:
            line = self._data.count(b"\n", 0, error.start) + 1
            byte = error.start - self._data.rfind(b"\n", 0, error.start)
            raise self._manifest.problem(
                "is not UTF-8: save the file as UTF-8", line, f"byte {byte}"
            ) from None
        if b"\0" in self._data:
            line = self._data.count(b"\n", 0, self._data.index(b"\0")) + 1
            raise self._manifest.problem("holds a NUL character: the file is damaged, or no text", line)

    def settings(self, long_list: str) -> dict[str, Node]:
        """Return the top-level mapping, with the items of one long list left out."""
        walk = _Walk(self._manifest, self._data)
        found = dict(walk.entries(left_out=long_list))
        walk.end()
        return found

    def items(self, long_list: str) -> Iterator[Node]:
        """Yield the items of one top-level list, one at a time."""
        return _Walk(self._manifest, self._data).items(long_list)


class _Walk:
    """One pass over the events of a file, refusing what a manifest does not need."""

    def __init__(self, manifest: source.Source, data: bytes) -> None:
        self._manifest = manifest
        self._events = yaml.parse(data, Loader=yaml.CSafeLoader)
        self._depth = 0

    def entries(self, left_out: str) -> Iterator[tuple[str, Node]]:
        """Yield the entries of the top-level mapping; the list under ``left_out`` comes empty."""
        for name, event in self._top():
            if name == left_out and isinstance(event, yaml.SequenceStartEvent):
                self._skip()
                yield name, Node(_line(event), [])
            else:
                yield name, self._node(event)

    def items(self, long_list: str) -> Iterator[Node]:
        for name, event in self._top():
            if name == long_list:
                while not isinstance(item := self._next(), yaml.SequenceEndEvent):
                    yield self._node(item)
                return
            self._node(event)

    def end(self) -> None:
        self._next()  # the end of the document
        if not isinstance(event := self._next(), yaml.StreamEndEvent):
            raise self._manifest.problem(
                "has a second document (---): put it into a file of its own", _line(event)
            )

    def _top(self) -> Iterator[tuple[str, yaml.Event]]:
        self._next()  # the start of the stream
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise self._manifest.problem("is empty")
        start = self._next()
        if not isinstance(start, yaml.MappingStartEvent):
            is_list = isinstance(start, yaml.SequenceStartEvent)
            detail = 'put the list below it; in JSON: {"jobs": […]}' if is_list else ""
            raise self._manifest.problem(
                "does not begin with a setting such as `jobs:`", _line(start), detail
            )
        yield from self._pairs()

    def _pairs(self) -> Iterator[tuple[str, yaml.Event]]:
        """Yield each name of one mapping with the first event of its value."""
        seen = set()
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._manifest.problem("has a list or mapping where a name should be", _line(event))
            name: str = event.value
            if name == _MERGE and not event.style:
                raise self._manifest.problem("merges another mapping (<<): write it out", _line(event))
            if name in seen:
                raise self._manifest.problem("gives a name a second time in one mapping", _line(event), name)
            seen.add(name)
            yield name, self._next()

    def _node(self, event: yaml.Event) -> Node:
        line = _line(event)
        if isinstance(event, yaml.ScalarEvent):
            return Node(line, self._text(event))
        if isinstance(event, yaml.MappingStartEvent):
            return Node(line, {name: self._node(value) for name, value in self._pairs()})
        values = []
        while not isinstance(item := self._next(), yaml.SequenceEndEvent):
            values.append(self._node(item))
        return Node(line, values)

    def _text(self, event: yaml.ScalarEvent) -> str | None:
        if not event.style and event.value in _NOTHING:
            return None
        text: str = event.value
        if "\0" in text:
            raise self._manifest.problem("holds a NUL character", _line(event))
        return text

    def _skip(self) -> None:
        """Read past the value whose first event was just read."""
        around = self._depth - 1
        while self._depth > around:
            self._next()

    def _next(self) -> yaml.Event:
        try:
            event = next(self._events)
        except yaml.YAMLError as error:
            raise self._manifest.problem(*_broken(error)) from None
        if isinstance(event, yaml.AliasEvent):
            raise self._manifest.problem("uses an alias (*name): write the value out", _line(event))
        if isinstance(event, yaml.CollectionStartEvent):
            self._depth += 1
            if self._depth > _DEEPEST:
                raise self._manifest.problem(f"is nested more than {_DEEPEST} deep", _line(event))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._depth -= 1
        if getattr(event, "tag", None) not in {None, "!"}:
            raise self._manifest.problem("uses a tag (!…): write the plain value", _line(event))
        return event


def _joined(pair: re.Match[bytes]) -> bytes:
    return pair[1] + bytes.fromhex((pair[2] + pair[3]).decode()).decode("utf-16-be").encode()


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _broken(error: yaml.YAMLError) -> tuple[str, int | None, str]:
    """Return what is wrong with the syntax, the line to look at, the parser's own words, and what mostly helps."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        words = error.problem or ""
        helps = _ESCAPED if "escape" in words or "hex" in words else _QUOTED
        return "is not valid YAML", error.problem_mark.line + 1, f"{words}; {helps}"
    return "is not valid YAML", None, str(getattr(error, "reason", "it cannot be read"))
