from types import SimpleNamespace

from sandbox.listing import Listing
from sandbox.options import Options
from sandbox.plan import Plan

MADE = [SimpleNamespace(id=f"p{n}", t=1000.0 + n, subject=f"job{n}/0") for n in range(50)]


def shelf(listing):
    return [one.id for one in listing._shelf("a", 0.0, 2000.0)]


def test_a_place_in_a_shuffled_list_is_drawn_once_until_the_fault_is_switched(tmp_path, monkeypatch):
    plan = Plan(0, {"list_shuffle": 0.5})
    records = SimpleNamespace(between=lambda *_: MADE)
    listing = Listing(options=Options(state=tmp_path, lag=60), plan=plan, records=records, views=None)
    first = shelf(listing)
    with monkeypatch.context() as patch:
        patch.setattr(plan, "number", None)
        assert shelf(listing) == first
    plan.switch({"list_shuffle": 1.0}, 0.0)
    assert first != shelf(listing) != [one.id for one in MADE]
    plan.heal()
    assert shelf(listing) == [one.id for one in MADE]
