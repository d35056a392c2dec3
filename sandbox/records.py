"""What the sandbox knows and keeps in its state folder: predictions, cancellations, attempts, files.

``ledger.jsonl`` has one line per accepted create and nothing else, so that counting its lines counts purchases.
``events.jsonl`` has what else must survive a restart: cancels, creates that a fault kept from being accepted or put
off, files, and how the faults were switched since the first start with those of the command line.
"""

import bisect
import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox.journal import Journal
from sandbox.orders import Order
from sandbox.predictions import Prediction


class Records:
    """Everything durable, in memory and on disk; but for cancels, a line is on disk before it counts in memory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._ledger = Journal(folder / "ledger.jsonl")
        self._events = Journal(folder / "events.jsonl")
        self._predictions: dict[str, Prediction] = {}
        self._by_key: dict[str, Prediction] = {}
        self._by_account: dict[str, list[Prediction]] = {}
        self._attempts: Counter[str] = Counter()
        self._latest = 0.0
        self._asked: dict[str, Any] | None = None
        self._switches: list[tuple[dict[str, float] | None, float]] = []
        # When each prediction was accepted, in order; the first entry is when the rehearsal began.
        self._moments = [time.time()]
        self._postponed: list[tuple[Order, float]] = []
        self.files: dict[str, dict[str, Any]] = {}
        self._ledger.replay(self._take_purchase)
        self._events.replay(self._take_event)

    def _take_purchase(self, line: dict[str, Any]) -> None:
        prediction = Prediction(**line)
        self.count(prediction.identity, prediction.attempt)
        self._keep(prediction)

    def _take_event(self, line: dict[str, Any]) -> None:
        match line:
            case {"event": "cancel", "id": prediction_id, "t": moment}:
                self._predictions[prediction_id].canceled_at = moment
            case {"event": "fault", "identity": identity, "attempt": attempt}:
                self.count(identity, attempt)
            case {"event": "late", "order": fields, "due": due}:
                order = Order(**fields)
                self.count(order.identity, order.attempt)
                self._postponed.append((order, due))
            case {"event": "file", "file": file}:
                self.files[file["id"]] = file
            case {"event": "file deleted", "id": file_id}:
                self.files.pop(file_id, None)
            case {"event": "start", "asked": asked, "t": moment}:
                self._asked, self._moments[0] = asked, moment
                self._switches.clear()
            case {"event": "switch", "shares": shares, "t": moment}:
                self._switches.append((shares, moment))
            case _:
                raise ValueError("an event of another release")

    def count(self, identity: str, attempt: int) -> None:
        """Note an attempt, whatever becomes of it: the next one has another number."""
        self._attempts[identity] = max(self._attempts[identity], attempt + 1)

    def _keep(self, prediction: Prediction) -> None:
        self._predictions[prediction.id] = prediction
        self._by_key[prediction.key] = prediction
        mine = self._by_account.setdefault(prediction.account, [])
        bisect.insort(mine, prediction, key=_created)
        self._latest = max(self._latest, prediction.t)
        self._moments.append(prediction.t)

    def begin(self, asked: dict[str, Any]) -> tuple[float, Sequence[tuple[dict[str, float] | None, float]]]:
        """Go on with the rehearsal of the last start, or begin another if other faults are asked for now.

        Returns the moment at which it began, and how faults were switched since then: None for a healing.
        """
        if asked != self._asked:
            line = {"event": "start", "asked": asked, "t": time.time()}
            self._events.write(line)
            self._take_event(line)
        return self._moments[0], self._switches

    async def switched(self, shares: dict[str, float] | None, moment: float) -> None:
        """Note new shares of some faults, or a healing."""
        await self._events.append({"event": "switch", "shares": shares, "t": moment})

    def now(self) -> float:
        """Return a moment for a new prediction, a microsecond or more after any other: the list is paged by it."""
        self._latest = max(round(time.time(), 6), round(self._latest + 1e-6, 6))
        return self._latest

    def next_attempt(self, identity: str) -> int:
        """Return how many creates of this job came before."""
        return self._attempts[identity]

    async def accept(self, prediction: Prediction) -> None:
        await self._ledger.append(prediction.line())
        self._keep(prediction)

    async def not_accepted(self, order: Order, fault: str) -> None:
        """Note a create that a fault kept out, so that its next attempt is a new draw even after a restart."""
        noted = {"identity": order.identity, "attempt": order.attempt, "fault": fault, "t": time.time()}
        await self._events.append({"event": "fault", **noted})

    async def postpone(self, order: Order, due: float) -> None:
        """Note a create that is to be accepted at a later moment, even after a restart."""
        await self._events.append({"event": "late", "order": dataclasses.asdict(order), "due": due})

    def postponed(self) -> list[tuple[Order, float]]:
        """Return what was still to be accepted when the last process ended, each with the moment."""
        sold = {kept.subject for kept in self._predictions.values()}
        return [(order, due) for order, due in self._postponed if order.subject not in sold]

    async def cancel(self, prediction: Prediction, moment: float) -> None:
        """End a prediction at this moment: at once, so that nobody is shown another end while the line is written."""
        prediction.canceled_at = moment
        try:
            await self._events.append({"event": "cancel", "id": prediction.id, "t": moment})
        except OSError:
            prediction.canceled_at = None
            raise

    async def add_file(self, file: dict[str, Any]) -> None:
        await self._events.append({"event": "file", "file": file})
        self.files[file["id"]] = file

    async def delete_file(self, file_id: str) -> None:
        await self._events.append({"event": "file deleted", "id": file_id})
        self.files.pop(file_id, None)

    def accepted(self) -> int:
        return len(self._predictions)

    def reached_at(self, count: int) -> float | None:
        """Return when that many predictions were accepted; None while there are fewer."""
        return self._moments[count] if count < len(self._moments) else None

    def find(self, prediction_id: str, account: str) -> Prediction | None:
        prediction = self._predictions.get(prediction_id)
        return prediction if prediction and prediction.account == account else None

    def find_by_key(self, key: str) -> Prediction | None:
        return self._by_key.get(key)

    def between(self, account: str, start: float, end: float) -> list[Prediction]:
        """Return an account's predictions that were created in [start, end), oldest first."""
        mine = self._by_account.get(account, [])
        return mine[
            bisect.bisect_left(mine, start, key=_created) : bisect.bisect_left(mine, end, key=_created)
        ]

    def close(self) -> None:
        self._ledger.close()
        self._events.close()


def _created(prediction: Prediction) -> float:
    return prediction.t
