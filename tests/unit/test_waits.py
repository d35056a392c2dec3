"""What a job waits for, and until when, as `show` says it."""

import time
from datetime import UTC, datetime

from jobs.reports import waits


def test_a_moment_is_the_wall_clocks_with_its_zone(monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        shown = waits.moment(datetime(2026, 7, 1, 22, 30, 15, tzinfo=UTC))
    time.tzset()
    assert shown == "2026-07-02 00:30:15 CEST"
