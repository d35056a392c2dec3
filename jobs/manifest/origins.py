"""Where each part of an adaptation was written, so that a mistake is reported under the name used there."""

from dataclasses import dataclass
from pathlib import Path

from jobs.manifest import problems, rows


@dataclass(frozen=True, slots=True)
class Origins:
    """``typed`` came from the command line, now or when the batch was loaded; the rest is in ``file``."""

    typed: rows.Adaptation
    file: str

    def column(self, name: str, header: str, message: str, detail: str = "") -> problems.Problem:
        """Return a problem with the header that an input is read from."""
        if self.typed.columns.get(name) == header:
            return _typed(f"--column {problems.shown(f'{name}={header}')}", message, detail)
        return self._written(f"columns.{name}", message, detail)

    def default(
        self, name: str, text: str, message: str, detail: str = "", value: str | None = None
    ) -> problems.Problem:
        """Return a problem with a default, as it was written; ``value`` is given if the value itself is wrong."""
        if name in self.typed.defaults:
            return _typed(f"--default {problems.shown(f'{name}={text}')}", message, detail, value)
        return self._written(f"defaults.{name}", message, detail, value)

    def images(self, folder: Path, message: str, detail: str) -> problems.Problem:
        """Return a problem with the folder of pictures."""
        if self.typed.images is not None:
            return _typed(f"--images {folder}", message, detail)
        return self._written("images", message, f"{folder}; {detail}")

    def _written(self, setting: str, message: str, detail: str, value: str | None = None) -> problems.Problem:
        return problems.Problem(self.file, None, setting, message, value, detail)


def _typed(option: str, message: str, detail: str, value: str | None = None) -> problems.Problem:
    return problems.Problem(option, None, None, message, value, detail)
