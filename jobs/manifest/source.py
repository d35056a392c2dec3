"""The file that a manifest is read from: where it is, which format it has, and whether it is text at all."""

import codecs
import hashlib
import io
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import IO, Any, BinaryIO

from jobs import errors
from jobs.manifest import problems

STDIN = "-"
_SNIFFED_BYTES = 4096
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".yaml": "yaml", ".yml": "yaml", ".json": "yaml"}
_YAML_START = re.compile(rb"(---(\s|$)|%YAML|[{\[]|- |[A-Za-z_][\w-]*:(\s|$))")
_NOT_TEXT = {
    b"PK\x03\x04": "is a spreadsheet or an archive: save it as CSV (UTF-8)",
    b"\xd0\xcf\x11\xe0": "is a spreadsheet: save it as CSV (UTF-8)",
    b"\x1f\x8b": "is compressed: unpack it first",
    b"SQLite format 3": "is a database: export the rows as CSV",
    b"\x89PNG": "is a picture: name the manifest that lists it",
    b"\xff\xd8\xff": "is a picture: name the manifest that lists it",
}


class Format(Enum):
    """The file format of the rows."""

    CSV = "csv"
    TSV = "tsv"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Source:
    """An opened manifest. ``name`` is as a person typed it; relative paths in it start at ``folder``."""

    name: str
    path: Path | None
    folder: Path
    format: Format
    file: BinaryIO
    sha256: str

    def problem(self, message: str, line: int | None = None, detail: str = "") -> problems.Unreadable:
        return problems.Unreadable(problems.Problem(self.name, line, None, message, detail=detail))


@contextmanager
def open_source(name: str | Path, stdin: BinaryIO | None = None) -> Iterator[Source]:
    """Open a manifest by its path, or spool standard input if the name is ``-``.

    The spool is an unnamed temporary file, so that a manifest of any size can be read twice.
    """
    called = str(name)
    if called == STDIN and stdin is not None:
        with tempfile.TemporaryFile() as spool:
            _spool("stdin", stdin, spool)
            with _in_utf8("stdin", spool) as text:
                yield _source("stdin", None, Path.cwd(), text)
    else:
        with _open(called) as file, _in_utf8(called, file) as text:
            path = Path(called).absolute()
            yield _source(called, path, path.parent, text)


@contextmanager
def open_beside(manifest: Source, name: str) -> Iterator[Source]:
    """Open the table that a YAML manifest names; paths in the table start at the manifest's folder."""
    with open_source(manifest.folder / name) as beside:
        if beside.format is Format.YAML:
            raise beside.problem(f"is YAML; jobs: in {manifest.name} takes a list or a CSV file")
        yield replace(beside, folder=manifest.folder)


def of_both(manifest: Source, beside: Source) -> str:
    """Return the digest of a YAML manifest and the table that it names."""
    return hashlib.sha256(f"{manifest.sha256}{beside.sha256}".encode()).hexdigest()


@contextmanager
def _in_utf8(name: str, file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield a file as it is, or a copy of one with the mark of UTF-16, which spreadsheets call Unicode text."""
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    if not head.startswith(_UTF_16) or head.startswith(codecs.BOM_UTF32_LE):
        yield file
        return
    with tempfile.TemporaryFile() as spool:
        there, here = (
            io.TextIOWrapper(file, "utf-16", newline=""),
            io.TextIOWrapper(spool, "utf-8", newline=""),
        )
        try:
            _spool(name, there, here)
        except UnicodeError:
            raise _unreadable(name, "is no whole UTF-16: save it as UTF-8") from None
        finally:
            there.detach()  # each file is its owner's to close
            here.detach()
        yield spool


def _spool(name: str, source: IO[Any], spool: IO[Any]) -> None:
    try:
        shutil.copyfileobj(source, spool)
        spool.flush()
    except OSError as error:
        folder = tempfile.gettempdir()
        raise errors.Unavailable(
            f"{name} cannot be kept in {folder}: {error.strerror}; make room, or set TMPDIR"
        ) from error


def _open(name: str) -> BinaryIO:
    try:
        mode = Path(name).stat().st_mode
        if stat.S_ISDIR(mode):
            raise _unreadable(name, "is a folder: name the manifest in it")
        if not stat.S_ISREG(mode):
            raise _unreadable(name, "is no regular file: pipe it in and write - instead")
        return Path(name).open("rb")
    except FileNotFoundError:
        raise _unreadable(name, f"no such file in {Path(name).absolute().parent}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _unreadable(name, f"cannot be read: {reason}") from None


def _source(name: str, path: Path | None, folder: Path, file: BinaryIO) -> Source:
    file.seek(0)
    head = file.read(_SNIFFED_BYTES)
    form = _format(name, head, Path(name).suffix.lower())
    file.seek(0)
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # every one has readinto
    file.seek(0)
    return Source(name, path, folder, form, file, sha256)


def _format(name: str, head: bytes, suffix: str) -> Format:
    for magic, sentence in _NOT_TEXT.items():
        if head.startswith(magic):
            raise _unreadable(name, sentence)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head[:4]:
        raise _unreadable(name, 'is UTF-16 or UTF-32: save it as UTF-8 (in a spreadsheet: "CSV UTF-8")')
    if suffix in {".jsonl", ".ndjson"}:
        raise _unreadable(name, "is JSON lines: write it as CSV or YAML")
    if not head.strip():
        raise _unreadable(name, "is empty")
    if suffix in _SUFFIXES:
        return Format(_SUFFIXES[suffix])
    return _sniffed(head)


def _sniffed(head: bytes) -> Format:
    """Guess the format, if the suffix does not tell, from the first line that is neither blank nor a comment."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith(b"#"))
    first = next(lines, b"")
    if _YAML_START.match(first):
        return Format.YAML
    return Format.TSV if b"\t" in first and b"," not in first else Format.CSV


def _unreadable(name: str, message: str) -> problems.Unreadable:
    return problems.Unreadable(problems.Problem(name, None, None, message))
