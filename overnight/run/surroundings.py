"""What a run needs before it buys: a place for the images, and an API or a broker that answers.

Each missing thing is reported in one line. What a worker or a scheduler needs is in `worker.readiness`.
"""

import shutil
from collections.abc import Sequence

from jobs import errors
from jobs.database import Database
from jobs.settings import Settings, buyers
from jobs.settings.credentials import Credential
from overnight.display import words
from worker import readiness
from worker.transfers import folder


class Surroundings:
    """Checks once, though a run that loads a manifest asks twice."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._checked = False

    def require_token(self, account: str | None) -> None:
        """Raise if no token is set; with a broker it is the workers that need one."""
        if not self._settings.broker_url:
            buyers.may_buy(self._settings, account)

    def require(self, db: Database | None, account: str | None) -> None:
        """Raise what is missing to buy with this account, or with any; ``db`` is None if there is none yet."""
        if self._checked:
            return
        if self._settings.broker_url:
            readiness.reach_broker(self._settings)
        else:
            self._require_all_of_it(db, account)
        self._checked = True

    def _require_all_of_it(self, db: Database | None, account: str | None) -> None:
        """Check everything: without workers, this process is the one that stores and buys."""
        require_workers(self._settings)
        held = buyers.may_buy(self._settings, account)
        if not self._settings.api.is_sandbox:  # that one is started when the work begins
            self._greet(held)
        self._require_output(db)  # last, since it makes the folder

    def _greet(self, held: Sequence[Credential]) -> None:
        """Ask the API as each account; one that may buy is enough, and what is wrong with the others is printed."""
        from worker.api import greeting

        lacking: list[errors.OvernightError] = []
        for one in held:
            try:
                greeting.greet(self._settings, one)
            except errors.OvernightError as error:
                lacking.append(error)
        if len(lacking) == len(held):
            raise lacking[0]
        for why in lacking:
            words.say(f"going on without an account: {why}")

    def _require_output(self, db: Database | None) -> None:
        folder.prepare(self._settings, db)
        output = self._settings.output
        if not shutil.disk_usage(output).free:
            raise errors.Unavailable(f"the disk of output folder {output} is full; make room")


def require_workers(settings: Settings) -> None:
    """Refuse a server without a broker: nobody would do the work."""
    if settings.database_path is None and settings.broker_url is None:
        raise errors.Mistake(
            "a database on a server needs workers: set OVERNIGHT_BROKER_URL=redis://…, "
            "or keep all in one process with --database sqlite:///overnight.db"
        )
