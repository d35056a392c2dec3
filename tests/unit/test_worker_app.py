"""The Celery app's settings that follow from ours."""

import pytest

from jobs import settings
from worker import app


@pytest.mark.parametrize("lease", ["60s", "20m"])
def test_no_task_is_killed_before_its_own_deadlines_have_ended_it(lease):
    given = settings.Settings(api_token="a-token", lease=lease, settle="40m", _env_file=None)
    assert app.create(given).conf.task_time_limit > 2 * given.times.lease
