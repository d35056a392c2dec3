"""`celery worker` and `celery beat`, typed in place of our own commands: how they refuse to start, and end."""

import pytest

from tests import rows
from tests.integration import rehearsal
from tests.integration.place import CELERYS, NOBODY


@pytest.mark.parametrize(
    ("command", "setting", "code", "said"),
    [
        ("worker", {"api_token": None}, 2, "no token for 127.0.0.1"),
        ("worker", {"broker_url": None}, 2, "a worker needs a broker"),
        ("worker", {"output": "/proc/outputs"}, 69, "cannot be made"),
        ("worker", {"lease": "1x"}, 2, 'OVERNIGHT_LEASE: "1x" is no duration'),
        ("beat", {"broker_url": None}, 2, "a scheduler needs a broker"),
        ("beat", {"broker_url": NOBODY}, 69, f"broker {NOBODY}: "),
    ],
)
def test_celerys_commands_refuse_what_ours_refuse(command, setting, code, said, place):
    assert place.start(*CELERYS[command], **setting).wait(timeout=120) == code
    [line] = [line for line in place.words.read_text().splitlines() if line.startswith("overnight: ")]
    assert said in line
    assert "Traceback" not in place.words.read_text()


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_celerys_commands_end_when_a_newer_program_has_upgraded_the_database(command, place):
    place.settings["PYTHONUNBUFFERED"] = "1"  # the banner goes to stdout, which is a file here
    started = place.start(*CELERYS[command])
    rehearsal.eventually(lambda: "worker.brokers.redis" in place.words.read_text())  # the banner
    with place.database() as db:
        rows.stamp(db, "9999")
    started.wait(timeout=120)
    place.says("made by a newer overnight")
