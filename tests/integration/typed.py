"""Commands typed as a person would, beside a database that a test has filled."""

import os
import pty
import shlex

from jobs.database import Database
from tests import factory, programs


class Desk:
    """A folder with `overnight.db` in it, and the batch `cats` in that."""

    def __init__(self, database: Database) -> None:
        self.database = database
        assert database.path
        self.folder = database.path.parent
        self.batch = factory.make_batch(
            database,
            name="cats",
            folder="cats",
            options={"images_root": str(self.folder)},
            manifest_path=str(self.folder / "cats.csv"),
        )

    def job(self, state="failed", **columns):
        return factory.make_job(self.database, self.batch, state=state, **columns)

    def type(self, *words, **environment):
        """Type `overnight …`; return the process that ended."""
        return programs.run("overnight", *words, cwd=self.folder, env=_surroundings() | environment)

    def type_in_a_terminal(self, *words, answer=""):
        """Type `overnight …` in a terminal of eighty columns; return the exit code and all that is shown."""
        ours, theirs = pty.openpty()
        with programs.Program(
            "overnight",
            *words,
            cwd=self.folder,
            env=_surroundings() | {"COLUMNS": "80"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as child:
            os.close(theirs)
            os.write(ours, answer.encode())
            shown = b""
            while piece := _read(ours):
                shown += piece
        os.close(ours)
        return child.returncode, shown.decode().replace("\r\n", "\n")

    def type_line(self, line):
        """Type a line as it was printed."""
        name, *words = shlex.split(line)
        assert name == "overnight"
        return self.type(*words)

    def states(self):
        """Return each job's state by its key."""
        listed = self.type("jobs").stdout.splitlines()
        return {
            name.removeprefix("cats/"): state for name, state, *_ in (line.split("\t") for line in listed)
        }


def _surroundings():
    return os.environ | {"OVERNIGHT_API_URL": factory.API}


def _read(descriptor):
    try:
        return os.read(descriptor, 65536)
    except OSError:  # how Linux says that the other side of a terminal is closed
        return b""
