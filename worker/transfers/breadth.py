"""How many downloads share the line at once.

Of too many none ends in time, and all that came of each is thrown away: a slow line would never bring an image. So,
as TCP does: half as many when one is cut off while its bytes still come, and one more after a round that went well.
"""

import anyio
import structlog

log = structlog.get_logger(__name__)


class Breadth:
    """Places for downloads, ``most`` at first; belongs to the event loop that it is made in.

    Those that share the line when it is narrowed are cut off, too, within ``deadline`` seconds: no news by then.
    """

    def __init__(self, most: int, deadline: float) -> None:
        self.places = anyio.CapacityLimiter(most)
        self._most = most
        self._deadline = deadline
        self._at_once = most
        self._whole = 0  # downloads since the last change
        self._cut_at = -deadline

    def came(self) -> None:
        """Count a download that came whole."""
        self._whole += 1
        if self._whole >= self._at_once < self._most:
            self._set(self._at_once + 1)

    def was_cut(self, moment: float) -> None:
        """Hear of a download that ran out of time while its bytes still came; ``moment`` is in monotonic seconds."""
        if self._at_once > 1 and moment >= self._cut_at + self._deadline:
            self._cut_at = moment
            self._set(self._at_once // 2)
            log.warning("downloads-slow", at_once=self._at_once)

    def _set(self, at_once: int) -> None:
        self._at_once, self._whole = at_once, 0
        self.places.total_tokens = at_once
