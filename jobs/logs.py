"""Where log lines go and how they look: one JSON object a line, UTC, no secrets. Callers decide what to log.

`structlog` is configured on top of the standard library's logging, so that Celery, Alembic and httpx log the
same way. JSON escapes control characters: a prompt or a reply cannot forge a line or move a terminal's
cursor.
"""

import json
import logging
import sys
from collections.abc import Iterable
from logging.handlers import RotatingFileHandler
from pathlib import Path

import structlog

_MEGABYTE = 1_000_000
_TALKATIVE = ("alembic", "celery", "httpcore", "httpx", "kombu", "multiprocessing", "sqlalchemy")
_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
]


class _Line(structlog.stdlib.ProcessorFormatter):
    """One record as one line of JSON, with every secret replaced, however it got in."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(
            foreign_pre_chain=_SHARED,
            processors=[
                self.remove_processors_meta,
                # A plain traceback: local variables would carry a whole request into the file.
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
        self._hidden = [json.dumps(secret)[1:-1] for secret in secrets]

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        for secret in self._hidden:
            line = line.replace(secret, "[hidden]")
        return line


class _File(RotatingFileHandler):
    """A log file that never stops the work: on a full disk the lines are lost, not the night."""

    broken = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  the library's own signature
        self.broken = True


def to_file(path: Path, secrets: Iterable[str] = ()) -> None:
    """Log to a rotating file, created when the first line is written."""
    _route(_File(path, maxBytes=20 * _MEGABYTE, backupCount=5, encoding="utf-8", delay=True), secrets)


def to_stderr(secrets: Iterable[str] = ()) -> None:
    """Log to stderr, where a container's logs are read."""
    _route(logging.StreamHandler(sys.stderr), secrets)


def configured() -> bool:
    """Whether lines go anywhere yet."""
    return bool(_ours())


def broken() -> bool:
    """Whether the log file could not be written."""
    return any(isinstance(handler, _File) and handler.broken for handler in _ours())


def destination() -> Path | None:
    """Return the file that lines really reach; None if they go elsewhere or nowhere."""
    files = (handler for handler in _ours() if isinstance(handler, _File) and not handler.broken)
    return next((Path(file.baseFilename) for file in files), None)


def _ours() -> list[logging.Handler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler.formatter, _Line)]


def _route(handler: logging.Handler, secrets: Iterable[str]) -> None:
    root = logging.getLogger()
    for old in _ours():
        root.removeHandler(old)
        old.close()
    handler.setFormatter(_Line(secrets))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
