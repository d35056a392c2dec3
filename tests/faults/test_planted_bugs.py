"""A harness that has never caught a bug proves nothing: each planted bug must turn it red, and nothing else may."""

import pytest

from tests.faults import planted, simulation

pytestmark = pytest.mark.no_cover  # as for the simulator's own tests


@pytest.mark.parametrize("bug", planted.BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_seen(bug, record_property):
    nights, names = planted.seeds_until_seen(bug, planted.MOST)
    assert names, f"{bug.name}: nobody saw it in {nights} nights"
    record_property("seen", f"{', '.join(names)} after {nights} nights")
    assert not planted.seen(simulation.Night(bug.plan(nights - 1))), "the same night without the bug"
