"""The Celery app's settings that follow from ours, and what Celery says of a worker's user."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobs import settings
from worker import app

# A worker's user, in a group that has no name.
NAMELESS = """
import os
from celery import platforms
from jobs import settings
from worker import app
os.getuid = os.geteuid = lambda: {user}
os.getgid = os.getegid = lambda: 4_000_000_000
app.configure(settings.Settings(api_token="a-token", _env_file=None))
platforms.check_privileges(["json"])
"""


@pytest.mark.parametrize("lease", ["60s", "20m"])
def test_no_task_is_killed_before_its_own_deadlines_have_ended_it(lease):
    given = settings.Settings(api_token="a-token", lease=lease, settle="40m", _env_file=None)
    assert app.create(given).conf.task_time_limit > 2 * given.times.lease


@pytest.mark.parametrize(("user", "warned"), [(1001, False), (0, True)])
def test_nobody_but_root_is_told_to_be_root(user, warned):
    typed = [sys.executable, "-c", NAMELESS.format(user=user)]
    ended = subprocess.run(typed, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert ("superuser" in ended.stderr) == warned
