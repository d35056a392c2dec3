"""Every arrow of a job's life, on both databases: what it writes, and what it refuses."""

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from jobs import database as databases
from jobs import lifecycle, marker, tables
from jobs.failures import FailureClass
from jobs.lifecycle import Accepted, Failure, Fence, Image, Interrupted, Lost, NotBought, Produced, Stray
from jobs.lifecycle.fence import move, note
from jobs.states import FINAL, OPEN_PHASES, TRANSITIONS, BatchState, Phase, State
from tests import factory, rows
from tests.integration import rehearsal

LEASE = timedelta(seconds=60)
SETTLE = timedelta(seconds=120)
GAP = timedelta(seconds=30)
LOOK = timedelta(seconds=1)
HELD = (State.SUBMITTING, State.UNCONFIRMED, State.RUNNING, State.COLLECTING)


@pytest.fixture
def batch(database):
    factory.make_account(database)
    return factory.make_batch(database)


@pytest.fixture
def account(database, batch):  # noqa: ARG001  made with the batch
    [found] = rows.rows(database, tables.accounts)
    return found


@pytest.fixture
def make(database, batch):
    """Make a job in a state."""

    def make(state=State.PENDING, **columns):
        return factory.make_job(database, batch, state=state, **columns)

    return make


@pytest.fixture
def arrow(database):
    """Run an arrow in its own transaction."""
    return lambda function, *args, **named: rows.write(database, function, *args, **named)


def moved(database, job, state, phase):
    """The job and its current attempt, once both are where they should be."""
    job = rows.job(database, job.id)
    attempt = rows.attempt(database, job.attempt_id)
    assert (job.state, attempt.phase) == (state, phase)
    return job, attempt


def image(fence, index=0, path="cats/tom-0.png", digest="a"):
    return Image(fence, index, lifecycle.File(path, "image/png", 99, 64, 64, digest * 64))


# Compare and set


@pytest.mark.parametrize("source", State)
def test_no_pair_of_states_is_written_that_the_picture_does_not_have(database, make, source):
    for target in State:
        job = make(source)
        fence = Fence(job.id, job.attempt_id or factory.make_attempt(database, job, Phase.REFUSED).id)
        rows.change(database, tables.jobs, job.id, attempt_id=fence.attempt)
        over = target in FINAL
        values = {
            "due_at": None if over else job.created_at,
            "finished_at": job.created_at if over else None,
            "error_class": "poison" if target is State.FAILED else None,
        }
        with database.write() as tx:
            if target in TRANSITIONS[source]:
                assert move(tx, [fence], {source}, target, **values) == {fence}
            else:
                with pytest.raises(ValueError, match=f"no arrow leads from {source} to {target}"):
                    move(tx, [fence], {source}, target, **values)
        assert rows.job(database, job.id).state == (target if target in TRANSITIONS[source] else source)


def test_no_update_drops_a_column_that_is_misspelt(database, make):
    job = make(State.RUNNING)
    fence = Fence(job.id, job.attempt_id)
    for wrong in (
        lambda tx: move(tx, [fence], {State.RUNNING}, State.COLLECTING, due_by=job.created_at),
        lambda tx: note(tx, [{"attempt": fence.attempt}], possibly_payed=True),
        lambda tx: note(tx, [{"attempt": fence.attempt, "costs": 1}]),
    ):
        with database.write() as tx, pytest.raises(ValueError, match=r"has no (due_by|possibly_payed|costs)"):
            wrong(tx)
    moved(database, job, State.RUNNING, Phase.RUNNING)


def calls(fence, at):
    """Every arrow that asks for a fence, and what it is called with."""
    return {
        "accepted": (lifecycle.accepted, [Accepted(fence, "new-id")], LOOK),
        "not_bought": (lifecycle.not_bought, [NotBought(fence, "429", at)]),
        "refused": (lifecycle.refused, [Failure(fence, "invalid-input", "422")]),
        "lost": (lifecycle.lost, [Lost(fence, "EOF", at)], SETTLE),
        "adopted": (lifecycle.adopted, [Accepted(fence, "new-id")], LOOK),
        "absent": (lifecycle.absent, [fence], at, GAP),
        "presumed_absent": (lifecycle.presumed_absent, [fence]),
        "unprovable": (lifecycle.unprovable, [fence], "who knows"),
        "produced": (lifecycle.produced, [Produced(fence, ("https://x/0.png",), at)]),
        "interrupted": (lifecycle.interrupted, [Interrupted(fence, "interrupted", "PA", at)]),
        "failed": (lifecycle.failed, [Failure(fence, "nsfw", "E005")]),
        "cancelled": (lifecycle.cancelled, [fence]),
        "stored": (lifecycle.stored, [fence]),
    }


FROM = {
    "accepted": {State.SUBMITTING, State.UNCONFIRMED},
    "not_bought": {State.SUBMITTING},
    "refused": {State.SUBMITTING},
    "lost": {State.SUBMITTING},
    "adopted": {State.UNCONFIRMED},
    "absent": {State.UNCONFIRMED},
    "presumed_absent": {State.UNCONFIRMED},
    "unprovable": {State.UNCONFIRMED},
    "produced": {State.RUNNING},
    "interrupted": {State.RUNNING},
    "failed": {State.RUNNING, State.COLLECTING},
    "cancelled": {State.RUNNING},
    "stored": {State.COLLECTING},
}


def test_every_arrow_that_asks_for_a_fence_is_tried_below():
    assert calls(Fence(1, 1), None).keys() == FROM.keys()


@pytest.mark.parametrize("name", sorted(FROM.keys() - {"accepted", "adopted"}))
def test_an_arrow_moves_nothing_from_a_state_in_which_it_does_not_begin(database, make, arrow, name):
    for state in sorted(set(HELD) - FROM[name]):
        job = make(state)
        before = rows.everything(database)
        function, *args = calls(rows.fence(job), job.created_at)[name]
        assert not arrow(function, *args)
        assert rows.everything(database) == before, state


@pytest.mark.parametrize("name", ["accepted", "adopted"])
def test_a_job_that_is_bought_stays_as_it_is_whatever_else_is_bought(database, make, arrow, name):
    for state in (State.RUNNING, State.COLLECTING):
        job = make(state)
        function, *args = calls(rows.fence(job), job.created_at)[name]
        args[0] = [Accepted(rows.fence(job), f"other-{state}")]
        assert not arrow(function, *args)
        assert rows.job(database, job.id) == job
        assert [one.phase for one in rows.attempts(database, job.id)] == [state, "orphan"]


@pytest.mark.parametrize("name", sorted(FROM.keys() - {"accepted", "adopted"}))
def test_whoever_holds_an_older_attempt_writes_nothing(database, make, arrow, name):
    for state in FROM[name]:
        job = make(state)
        older = factory.make_attempt(database, job, Phase.ABSENT)
        before = rows.everything(database)
        function, *args = calls(Fence(job.id, older.id), job.created_at)[name]
        assert not arrow(function, *args)
        assert rows.everything(database) == before, state


@pytest.mark.parametrize("name", sorted(FROM.keys() - {"accepted", "adopted"}))
def test_attempts_whose_numbers_went_to_other_jobs_of_the_slice_move_none_of_them(
    database, make, arrow, name
):
    """As after a takeover by a server that lacks the last commits."""
    for state in FROM[name]:
        one, other = make(state), make(state)
        before = rows.everything(database)
        crossed = [Fence(one.id, other.attempt_id), Fence(other.id, one.attempt_id)]
        function, *args = calls(crossed[0], one.created_at)[name]
        args[0] += calls(crossed[1], one.created_at)[name][1]
        assert not arrow(function, *args)
        assert rows.everything(database) == before, state


def test_ids_whose_attempts_numbers_went_to_other_jobs_of_the_slice_start_none_of_them(database, make, arrow):
    one, other = make(State.SUBMITTING), make(State.SUBMITTING)
    before = rows.everything(database)
    crossed = [Accepted(Fence(one.id, other.attempt_id), "a"), Accepted(Fence(other.id, one.attempt_id), "b")]
    assert not arrow(lifecycle.accepted, crossed, LOOK)
    assert rows.everything(database) == before


def test_a_file_and_a_black_image_are_of_no_other_job_that_has_got_their_attempts_number(
    database, make, arrow
):
    job, other = make(State.COLLECTING), make(State.COLLECTING)
    before = rows.everything(database)
    stale = Fence(other.id, job.attempt_id)
    arrow(lifecycle.kept, [image(stale)])
    with database.write() as tx:
        lifecycle.dropped(tx, [lifecycle.Blackened(stale, 0)])
    assert rows.everything(database) == before


def test_one_bad_row_spares_its_slice(database, make):
    taken = make(State.RUNNING)
    jobs = [make(State.SUBMITTING) for _ in range(3)]
    told = rows.attempt(database, taken.attempt_id).prediction_id
    items = [Accepted(rows.fence(job), name) for job, name in zip(jobs, ["one", told, "three"], strict=True)]
    with database.write() as tx:
        won = lifecycle.settle(tx, taken.created_at, lifecycle.accepted, items, LOOK)
    assert won == {items[0].fence, items[2].fence}
    assert [rows.job(database, job.id).state for job in jobs] == ["running", "submitting", "running"]


# Handing out


def test_release_takes_the_most_wanted_first_and_then_the_first_rows(database, batch, make, arrow):
    low, high, second = make(priority=-1), make(priority=5), make()
    make(due_at=rows.now(database) + LEASE)
    factory.make_job(database, factory.make_batch(database))
    third = make()
    assert set(arrow(lifecycle.release, batch.id, 2, LEASE, account_id=1)) == {high.id, second.id}
    assert set(arrow(lifecycle.release, batch.id, 9, LEASE, account_id=1)) == {third.id, low.id}
    assert not arrow(lifecycle.release, batch.id, 9, LEASE, account_id=1)
    job = rows.job(database, high.id)
    assert (job.state, job.attempt_id) == (State.QUEUED, None)
    assert job.due_at > rows.now(database) + LEASE / 2


@pytest.mark.parametrize("hand_out", ["release", "hand_out"])
def test_two_at_once_are_handed_no_row_twice_and_neither_waits(postgres_database, hand_out):
    account = factory.make_account(postgres_database)
    batch = factory.make_batch(postgres_database)
    state = State.PENDING if hand_out == "release" else State.RUNNING
    for _ in range(30):
        factory.make_job(postgres_database, batch, state=state)
    now = rows.now(postgres_database)

    def some(tx):
        if hand_out == "release":
            return lifecycle.release(tx, now, batch.id, 10, LEASE, account_id=account.id)
        return lifecycle.hand_out(tx, now, state, 10, LEASE, of=[account.id])

    with postgres_database.write() as one, postgres_database.write() as other:
        for tx in (one, other):
            tx.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        first, second = some(one), some(other)
    assert len(first) == len(second) == 10
    assert not set(first) & set(second)


def test_never_more_rows_are_handed_out_than_asked_for(database, batch, make, arrow):
    for _ in range(5):
        make(State.PENDING)
        running = make(State.RUNNING)
    for _ in range(3):
        assert len(arrow(lifecycle.release, batch.id, 1, LEASE, account_id=1)) == 1
        assert len(arrow(lifecycle.hand_out, State.RUNNING, 1, LEASE, of=[running.account_id])) == 1
    states = [job.state for job in rows.rows(database, tables.jobs)]
    assert (states.count("pending"), states.count("queued")) == (2, 3)


def test_what_is_most_overdue_is_handed_out_first_and_is_due_again_a_lease_later(database, make, arrow):
    now = rows.now(database)
    older, newer = make(State.RUNNING, due_at=now - LEASE), make(State.RUNNING, due_at=now - LOOK)
    make(State.RUNNING, due_at=now + LEASE)
    make(State.COLLECTING, due_at=now - 2 * LEASE)
    assert arrow(lifecycle.hand_out, State.RUNNING, 1, LEASE, of=[older.account_id]) == [older.id]
    assert arrow(lifecycle.hand_out, State.RUNNING, 9, LEASE, of=[older.account_id]) == [newer.id]
    assert rows.job(database, older.id).due_at > now + LEASE / 2
    assert not arrow(lifecycle.hand_out, State.RUNNING, 9, LEASE, of=[older.account_id])


def test_nothing_of_another_account_is_handed_out(make, arrow):
    running = make(State.RUNNING)
    assert not arrow(lifecycle.hand_out, State.RUNNING, 9, LEASE, of=[running.account_id + 1])


def test_look_again_moves_only_what_is_still_the_same(database, make):
    now = rows.now(database)
    job, other = make(State.RUNNING), make(State.COLLECTING)
    stale = Fence(job.id, factory.make_attempt(database, job, Phase.ABSENT).id)
    with database.write() as tx:
        lifecycle.look_again(tx, State.RUNNING, {stale: now + SETTLE, rows.fence(other): now + SETTLE})
    assert [rows.job(database, one.id).due_at for one in (job, other)] == [job.due_at, other.due_at]
    with database.write() as tx:
        lifecycle.look_again(tx, State.RUNNING, {rows.fence(job): now + SETTLE})
    assert rows.job(database, job.id).due_at == now + SETTLE


def test_rescue_takes_back_what_was_handed_out_and_not_begun(database, make, arrow):
    now = rows.now(database)
    dead, alive = make(State.QUEUED), make(State.QUEUED, due_at=now + LEASE)
    others = [make(state) for state in HELD]
    assert arrow(lifecycle.rescue) == 1
    assert [rows.job(database, job.id).state for job in (dead, alive)] == ["pending", "queued"]
    assert arrow(lifecycle.rescue, batch_ids=[], expired_only=False) == 0
    assert arrow(lifecycle.rescue, expired_only=False) == 1
    assert [rows.job(database, job.id).state for job in others] == list(HELD)


def test_a_send_whose_worker_went_silent_is_in_doubt_from_now_on(database, make, arrow):
    now = rows.now(database)
    silent, busy = make(State.SUBMITTING), make(State.SUBMITTING, due_at=now + LEASE)
    assert arrow(lifecycle.expire_sends, SETTLE) == 1
    job, attempt = moved(database, silent, State.UNCONFIRMED, Phase.UNCONFIRMED)
    assert attempt.sent_at >= now
    assert job.due_at == attempt.sent_at + SETTLE
    assert rows.job(database, busy.id).state == State.SUBMITTING


def test_taking_over_ends_every_lease_of_the_dead(database, make, arrow):
    later = rows.now(database) + LEASE
    jobs = {state: make(state, due_at=later) for state in (State.PENDING, State.QUEUED, *HELD)}
    assert arrow(lifecycle.take_over, SETTLE) == 1
    after = {state: rows.job(database, job.id) for state, job in jobs.items()}
    assert {state: job.state for state, job in after.items()} == {
        **{state: state for state in jobs},
        State.QUEUED: State.PENDING,
        State.SUBMITTING: State.UNCONFIRMED,
    }
    for state in (State.QUEUED, State.RUNNING, State.COLLECTING):
        assert after[state].due_at < later
    for state in (State.PENDING, State.UNCONFIRMED):
        assert after[state].due_at == later
    # What the dead process may have sent a moment ago has had no time to settle.
    assert after[State.SUBMITTING].due_at > later + SETTLE / 3


def test_taking_over_brings_forward_what_no_wait_could_have_put_off_so_far(database, make, arrow):
    """The clock was ahead when it was written."""
    now = rows.now(database)
    ahead = [make(state, due_at=now + timedelta(minutes=50)) for state in (State.PENDING, State.UNCONFIRMED)]
    arrow(lifecycle.take_over, SETTLE)
    assert all(rows.job(database, job.id).due_at < now + LEASE for job in ahead)


# Buying


def test_begin_writes_the_intent_before_anything_leaves(database, account, make, arrow):
    job = make(State.QUEUED, input={"prompt": "a fox", "seed": 7})
    factory.make_attempt(database, job, Phase.REFUSED)
    [submission] = arrow(lifecycle.begin, account.id, [job.id], LEASE)
    after, attempt = moved(database, job, State.SUBMITTING, Phase.SUBMITTING)
    assert submission.fence == Fence(job.id, attempt.id)
    assert (submission.version, submission.image, submission.input) == (job.version, job.image, job.input)
    assert (attempt.number, attempt.account_id, attempt.prediction_id) == (2, account.id, None)
    assert (attempt.input, attempt.input_digest) == (job.input, marker.digest(job.input))
    assert after.due_at == attempt.intended_at + LEASE
    assert after.attempts == 0


def test_a_second_message_about_the_same_job_begins_nothing(database, account, make, arrow):
    job = make(State.QUEUED)
    assert arrow(lifecycle.begin, account.id, [job.id, job.id], LEASE)
    assert not arrow(lifecycle.begin, account.id, [job.id], LEASE)
    assert len(rows.attempts(database, job.id)) == 1


@pytest.mark.parametrize("state", sorted(set(State) - {State.QUEUED}))
def test_begin_takes_only_what_was_handed_out(database, account, make, arrow, state):
    job = make(state)
    assert not arrow(lifecycle.begin, account.id, [job.id], LEASE)
    assert rows.job(database, job.id) == job


@pytest.mark.parametrize(
    "closed",
    ["paused", "ready", "cancelled", "loading", "told to wait", "cancel requested", "another API", "gone"],
)
def test_the_gate_is_asked_again_when_the_message_arrives(database, batch, account, make, arrow, closed):
    job = make(State.QUEUED)
    match closed:
        case "told to wait":
            wait = rows.now(database) + LEASE
            rows.change(database, tables.accounts, account.id, not_before=wait)
        case "cancel requested":
            rows.change(database, tables.jobs, job.id, cancel_requested_at=job.created_at)
        case "another API":
            rows.change(database, tables.batches, batch.id, api="https://elsewhere.example/v1")
        case "gone":
            account = factory.make_account(database, api="https://elsewhere.example/v1")
        case state:
            reason = "person" if state == "paused" else None
            rows.change(database, tables.batches, batch.id, state=state, pause_reason=reason)
    assert not arrow(lifecycle.begin, account.id, [job.id], LEASE)
    assert rows.job(database, job.id).state == State.QUEUED
    assert not rows.attempts(database, job.id)


def test_a_wait_that_has_passed_keeps_nobody_back(database, account, make, arrow):
    job = make(State.QUEUED)
    rows.change(database, tables.accounts, account.id, not_before=job.created_at)
    assert arrow(lifecycle.begin, account.id, [job.id], LEASE)


def test_a_canary_may_leave_while_the_account_is_blocked(database, batch, account, make, arrow):
    job = make(State.QUEUED)
    rows.change(database, tables.batches, batch.id, state="paused", pause_reason="blocked")
    assert arrow(lifecycle.begin, account.id, [job.id], LEASE)


@pytest.mark.parametrize("phase", [Phase.SUBMITTING, Phase.UNCONFIRMED])
def test_a_twin_in_doubt_keeps_the_other_back(database, account, make, arrow, phase):
    sent = {"prompt": "a fox", "seed": 7}
    first = make(State(phase), input=sent)
    twin, other = make(State.QUEUED, input={**sent, "seed": 7.0}), make(State.QUEUED)
    asked = rows.now(database)
    [submission] = arrow(lifecycle.begin, account.id, [twin.id, other.id], LEASE)
    assert submission.fence.job == other.id
    after = rows.job(database, twin.id)
    assert (after.state, after.attempt_id) == (State.PENDING, None)
    # Until the twin's send is answered, or until it may have been looked up.
    wait = {Phase.SUBMITTING: LEASE / 60, Phase.UNCONFIRMED: LEASE}[phase]
    assert asked + wait <= after.due_at <= rows.now(database) + wait
    assert rows.job(database, first.id).state == phase


@pytest.mark.parametrize("known", [{"list_shows_images": True}, {"can_list": False}, {"list_echoes": False}])
def test_twins_with_images_of_their_own_are_begun_together_where_that_leaves_no_doubt(
    database, account, make, arrow, known
):
    rows.change(database, tables.accounts, account.id, **known)
    twins = [make(State.QUEUED, input={"seed": 7}).id for _ in range(4)]
    images = {job: marker.image_digest(name) for job, name in zip(twins, "aabb", strict=True)}
    begun = arrow(lifecycle.begin, account.id, twins, LEASE, images)
    assert [one.fence.job for one in begun] == [twins[0], twins[2]]
    assert [rows.attempts(database, job)[0].input for job in (twins[0], twins[2])] == [
        {"seed": 7, "image": images[twins[0]]}, {"seed": 7, "image": images[twins[2]]}
    ]  # fmt: skip


def test_images_tell_no_twins_apart_while_nobody_knows_whether_the_list_shows_them(account, make, arrow):
    twins = [make(State.QUEUED, input={"seed": 7}).id for _ in range(2)]
    images = {job: marker.image_digest(str(job)) for job in twins}
    [begun] = arrow(lifecycle.begin, account.id, twins, LEASE, images)
    assert begun.fence.job == twins[0]
    assert "image" not in begun.input


def test_of_twins_in_one_message_one_is_begun(database, account, make, arrow):
    twins = [make(State.QUEUED, input={"seed": 7}) for _ in range(3)]
    begun = arrow(lifecycle.begin, account.id, [job.id for job in twins], LEASE)
    assert len(begun) == 1
    assert sorted(rows.job(database, job.id).state for job in twins) == ["pending", "pending", "submitting"]
    # What the release had taken for the two is there for others.
    assert rows.account(database, account.id).creates_tokens == account.creates_tokens + 2


def test_of_twins_begun_by_two_workers_at_once_one_waits_its_turn(postgres_database):
    account = factory.make_account(postgres_database)
    batch = factory.make_batch(postgres_database)
    one, two = (
        factory.make_job(postgres_database, batch, state=State.QUEUED, input={"seed": 7}) for _ in range(2)
    )
    now = rows.now(postgres_database)

    def begin_the_other():
        with postgres_database.engine.begin() as second:
            second.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
            lifecycle.begin(second, now, account.id, [two.id], LEASE)

    with postgres_database.write() as first:
        assert lifecycle.begin(first, now, account.id, [one.id], LEASE)
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            begin_the_other()
    assert not rows.write(postgres_database, lifecycle.begin, account.id, [two.id], LEASE)
    assert rows.job(postgres_database, two.id).state == State.PENDING


@pytest.mark.parametrize("state", [State.SUBMITTING, State.UNCONFIRMED])
def test_an_accepted_id_is_committed_even_after_the_lease(database, make, arrow, state):
    job = make(state, attempts=1)
    assert arrow(lifecycle.accepted, [Accepted(rows.fence(job), "p1")], LOOK) == {rows.fence(job)}
    after, attempt = moved(database, job, State.RUNNING, Phase.RUNNING)
    assert (attempt.prediction_id, attempt.absent_at, after.attempts) == ("p1", None, 2)
    assert after.due_at == attempt.accepted_at + LOOK


def test_what_was_not_bought_is_wanted_again_uncounted(database, make, arrow):
    job = make(State.SUBMITTING)
    again = rows.now(database) + LEASE
    assert arrow(lifecycle.not_bought, [NotBought(rows.fence(job), "429", again)])
    after, attempt = moved(database, job, State.PENDING, Phase.REFUSED)
    assert (after.due_at, after.attempts, after.absences) == (again, 0, 0)
    assert (attempt.error_message, attempt.finished_at is None) == ("429", False)


def test_a_refused_input_fails_its_job(database, make, arrow):
    job = make(State.SUBMITTING)
    assert arrow(lifecycle.refused, [Failure(rows.fence(job), "invalid-input", "prompt is required")])
    after, attempt = moved(database, job, State.FAILED, Phase.REFUSED)
    assert (after.error_class, after.error_message) == ("invalid-input", "prompt is required")
    assert (after.due_at, after.attempts) == (None, 0)
    assert after.finished_at == attempt.finished_at


def test_a_lost_send_is_looked_up_once_it_has_settled(database, make, arrow):
    job = make(State.SUBMITTING)
    sent_at = rows.now(database) - LOOK
    assert arrow(lifecycle.lost, [Lost(rows.fence(job), "EOF", sent_at)], SETTLE)
    after, attempt = moved(database, job, State.UNCONFIRMED, Phase.UNCONFIRMED)
    assert (after.due_at, attempt.sent_at) == (sent_at + SETTLE, sent_at)
    assert attempt.finished_at is None


# Ids that arrive late


def closed(database, make, phase, state=State.PENDING, **columns):
    """A job that has moved on, and the fence of an attempt that nobody expects to hear of again."""
    job = make(state, **columns)
    attempt = factory.make_attempt(database, job, phase, prediction_id=None)
    if state in {State.PENDING, State.QUEUED}:
        rows.change(database, tables.jobs, job.id, attempt_id=attempt.id)
    return job, Fence(job.id, attempt.id)


@pytest.mark.parametrize("phase", [Phase.ABSENT, Phase.REFUSED, Phase.FAILED, Phase.CANCELLED])
@pytest.mark.parametrize("state", [State.PENDING, State.QUEUED])
def test_a_late_id_is_adopted_when_nothing_else_was_bought(database, make, arrow, phase, state):
    job, fence = closed(database, make, phase, state)
    assert arrow(lifecycle.accepted, [Accepted(fence, "late")], LOOK) == set()
    after, attempt = moved(database, job, State.RUNNING, Phase.RUNNING)
    assert (attempt.id, attempt.prediction_id, attempt.finished_at) == (fence.attempt, "late", None)
    assert after.attempts == 1


@pytest.mark.parametrize("state", HELD)
def test_a_late_id_beside_an_open_attempt_is_an_orphan(database, make, arrow, state):
    job, fence = closed(database, make, Phase.ABSENT, state)
    arrow(lifecycle.accepted, [Accepted(fence, "late")], LOOK)
    attempt = rows.attempt(database, fence.attempt)
    assert (attempt.phase, attempt.prediction_id) == (Phase.ORPHAN, "late")
    assert rows.job(database, job.id) == job
    with database.read() as tx:
        account_id = rows.attempt(database, fence.attempt).account_id
        assert lifecycle.orphans(tx, databases.now(tx), 9, of=[account_id]) == [(fence.attempt, "late")]


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_late_id_of_a_job_that_is_over_is_an_orphan(database, make, arrow, state):
    job, fence = closed(database, make, Phase.ABSENT, state)
    arrow(lifecycle.adopted, [Accepted(fence, "late")], LOOK)
    assert rows.attempt(database, fence.attempt).phase == Phase.ORPHAN
    assert rows.job(database, job.id) == job


WANT_OF_IT = [FailureClass.UNCONFIRMED, FailureClass.UNSUBMITTABLE]


@pytest.mark.parametrize("error_class", WANT_OF_IT)
@pytest.mark.parametrize("found", [lifecycle.accepted, lifecycle.adopted])
def test_a_job_that_failed_for_want_of_a_prediction_is_running_when_it_turns_up(
    database, make, arrow, error_class, found
):
    job = make(State.UNCONFIRMED)
    fence = rows.fence(job)
    arrow(lifecycle.unprovable, [fence], "nobody can tell")
    rows.change(database, tables.jobs, job.id, error_class=error_class)
    arrow(found, [Accepted(fence, "late")], LOOK)
    after, attempt = moved(database, job, State.RUNNING, Phase.RUNNING)
    assert (after.attempts, after.finished_at, after.error_class, after.error_message) == (
        1,
        None,
        None,
        None,
    )
    assert (attempt.id, attempt.prediction_id, attempt.finished_at) == (fence.attempt, "late", None)
    assert (attempt.error_class, attempt.possibly_paid) == (None, False)


def test_what_was_recalled_for_a_job_that_failed_for_want_of_it_is_adopted(database, make, account, arrow):
    job = make(State.FAILED, error_class=FailureClass.UNCONFIRMED)
    assert arrow(lifecycle.recalled, Stray(job.id, account.id, "late", job.created_at), LOOK) is Phase.RUNNING
    assert rows.job(database, job.id).state == State.RUNNING


@pytest.mark.parametrize(("later", "phase"), [(LOOK, Phase.RUNNING), (-LOOK, Phase.ORPHAN)])
def test_what_was_bought_after_a_job_had_failed_is_its_own(database, make, account, arrow, later, phase):
    job = make(State.FAILED, error_class=FailureClass.MODEL_ERROR)
    assert (
        arrow(lifecycle.recalled, Stray(job.id, account.id, "late", job.finished_at + later), LOOK) is phase
    )
    assert rows.job(database, job.id).state == (State.RUNNING if phase is Phase.RUNNING else State.FAILED)


@pytest.mark.parametrize(
    "error_class", [FailureClass.MODEL_ERROR, FailureClass.INTERRUPTED, FailureClass.EXPIRED]
)
def test_a_late_id_of_a_job_that_failed_by_itself_is_an_orphan(database, make, arrow, error_class):
    job, fence = closed(database, make, Phase.ABSENT, State.FAILED, error_class=error_class)
    arrow(lifecycle.accepted, [Accepted(fence, "late")], LOOK)
    assert rows.attempt(database, fence.attempt).phase == Phase.ORPHAN
    assert rows.job(database, job.id) == job


def test_a_late_id_that_comes_while_a_person_changes_the_input_is_an_orphan(postgres_database):
    factory.make_account(postgres_database)
    batch = factory.make_batch(postgres_database)
    job = factory.make_job(postgres_database, batch, state=State.FAILED, error_class=FailureClass.UNCONFIRMED)
    rows.change(postgres_database, tables.attempts, job.attempt_id, prediction_id=None)
    late = threading.Thread(
        target=rows.write,
        args=(postgres_database, lifecycle.accepted, [Accepted(rows.fence(job), "late")], LOOK),
    )
    with postgres_database.write() as person:
        lifecycle.change_input(person, {job.id: {"prompt": "an owl", "seed": 8}}, own_seed=True)
        lifecycle.retry(person, databases.now(person), [job.id])
        late.start()
        rehearsal.eventually(lambda: rows.is_waited_for(postgres_database), 20)
    late.join(20)
    assert rows.job(postgres_database, job.id).state == State.PENDING
    assert rows.attempt(postgres_database, job.attempt_id).phase == Phase.ORPHAN


def given_up(database, job):
    rows.write(database, lifecycle.give_up, [job.id])


def asked_to_end(database, job):
    rows.change(database, tables.jobs, job.id, cancel_requested_at=job.created_at)


def batch_cancelled(database, job):
    rows.change(database, tables.batches, job.batch_id, state=BatchState.CANCELLED)


def bought_again(database, job):
    factory.make_attempt(database, job, Phase.RUNNING)


@pytest.mark.parametrize("decided", [given_up, asked_to_end, batch_cancelled, bought_again])
def test_a_late_id_does_not_undo_what_was_decided_since(database, make, arrow, decided):
    job, fence = closed(database, make, Phase.FAILED, State.FAILED, error_class=FailureClass.UNCONFIRMED)
    decided(database, job)
    before = rows.job(database, job.id)
    arrow(lifecycle.accepted, [Accepted(fence, "late")], LOOK)
    assert rows.attempt(database, fence.attempt).phase == Phase.ORPHAN
    assert rows.job(database, job.id) == before


def test_a_late_id_of_an_input_that_is_no_longer_wanted_is_an_orphan(database, make, arrow):
    job, fence = closed(database, make, Phase.FAILED)
    with database.write() as tx:
        lifecycle.change_input(tx, {job.id: {"prompt": "an owl", "seed": 8}}, own_seed=True)
    arrow(lifecycle.accepted, [Accepted(fence, "late")], LOOK)
    assert rows.attempt(database, fence.attempt).phase == Phase.ORPHAN
    assert rows.job(database, job.id).state == State.PENDING


def test_an_id_that_is_told_twice_changes_nothing(database, make, arrow):
    job = make(State.SUBMITTING)
    arrow(lifecycle.accepted, [Accepted(rows.fence(job), "p1")], LOOK)
    before = rows.everything(database)
    assert not arrow(lifecycle.accepted, [Accepted(rows.fence(job), "p1")], LOOK)
    assert not arrow(lifecycle.adopted, [Accepted(rows.fence(job), "p1")], LOOK)
    assert rows.everything(database) == before


def test_an_attempt_that_adopted_an_earlier_sends_prediction_keeps_its_own_as_an_orphan(
    database, make, arrow
):
    job = make(State.UNCONFIRMED)
    arrow(lifecycle.adopted, [Accepted(rows.fence(job), "of-the-first-send")], LOOK)
    for _ in range(2):
        arrow(lifecycle.accepted, [Accepted(rows.fence(job), "its-own")], LOOK)
    ours, orphan = rows.attempts(database, job.id)
    assert (ours.phase, ours.prediction_id) == (Phase.RUNNING, "of-the-first-send")
    assert (orphan.phase, orphan.prediction_id, orphan.number) == (Phase.ORPHAN, "its-own", 2)
    assert rows.job(database, job.id).state == State.RUNNING


def interrupted(database, job):
    """End what a job runs in a way that may pass."""
    told = Interrupted(rows.fence(job), FailureClass.INTERRUPTED, "", rows.now(database))
    rows.write(database, lifecycle.interrupted, [told])


def due_orphans(database):
    with database.read() as tx:
        ids = [one.id for one in rows.rows(database, tables.accounts)]
        return [prediction for _, prediction in lifecycle.orphans(tx, databases.now(tx), 9, of=ids)]


def test_a_second_prediction_of_an_attempt_is_adopted_when_nothing_else_was_bought(database, make, arrow):
    job = make(State.RUNNING)
    interrupted(database, job)
    assert arrow(lifecycle.found_late, Accepted(rows.fence(job), "second"), LOOK) is Phase.RUNNING
    [first, second] = rows.attempts(database, job.id)
    assert (first.phase, second.phase, second.prediction_id) == (Phase.FAILED, Phase.RUNNING, "second")
    after = rows.job(database, job.id)
    assert (after.state, after.attempt_id) == (State.RUNNING, second.id)


@pytest.mark.parametrize(("later", "shared"), [(LOOK, False), (LOOK, True), (-LOOK, False)])
def test_only_what_was_bought_after_what_a_job_runs_steps_in_for_it(
    database, make, account, arrow, later, shared
):
    job = make(State.RUNNING)
    made_at = rows.attempt(database, job.attempt_id).accepted_at + later
    arrow(lifecycle.recalled, Stray(job.id, account.id, "second", made_at, shared=shared), LOOK)
    steps_in = later > -later and not shared
    assert due_orphans(database) == ([] if steps_in else ["second"])
    interrupted(database, job)
    assert rows.job(database, job.id).state == (State.RUNNING if steps_in else State.PENDING)
    assert rows.attempts(database, job.id)[1].phase == (Phase.RUNNING if steps_in else Phase.ORPHAN)
    assert due_orphans(database) == ([] if steps_in else ["second"])


def test_what_has_ended_without_an_image_is_no_surplus_beside_what_was_bought_next(
    database, make, account, arrow
):
    job = make(State.RUNNING)
    stray = Stray(job.id, account.id, "dead", job.created_at, dead=True)
    assert arrow(lifecycle.recalled, stray, LOOK) is Phase.FAILED
    second = Accepted(rows.fence(job), "dead-too", job.created_at, dead=True)
    assert arrow(lifecycle.found_late, second, LOOK) is Phase.FAILED
    assert due_orphans(database) == []
    assert rows.job(database, job.id) == job


@pytest.mark.parametrize("end", [lifecycle.failed, lifecycle.cancelled])
def test_what_stood_by_for_a_job_that_is_over_is_cancelled(database, make, account, arrow, end):
    job = make(State.RUNNING)
    made_at = rows.attempt(database, job.attempt_id).accepted_at + LOOK
    arrow(lifecycle.recalled, Stray(job.id, account.id, "second", made_at), LOOK)
    fence = rows.fence(job)
    arrow(end, [fence if end is lifecycle.cancelled else Failure(fence, FailureClass.NSFW, "")])
    assert due_orphans(database) == ["second"]


def test_an_orphan_is_cancelled_once_and_by_its_own_account(database, make, arrow):
    _, fence = closed(database, make, Phase.ABSENT, State.FAILED)
    account_id = rows.attempt(database, fence.attempt).account_id
    arrow(lifecycle.accepted, [Accepted(fence, "late")], LOOK)
    with database.read() as tx:
        assert not lifecycle.orphans(tx, databases.now(tx), 9, of=[account_id + 1])
    arrow(lifecycle.cancel_sent, [fence.attempt])
    with database.read() as tx:
        assert not lifecycle.orphans(tx, databases.now(tx), 9, of=[account_id])


# Absences


def test_an_absence_must_be_seen_twice_and_some_time_apart(database, make, arrow):
    job = make(State.UNCONFIRMED)
    fence, walked = rows.fence(job), rows.now(database)
    for at in (walked, walked, walked + GAP - LOOK):
        assert not arrow(lifecycle.absent, [fence], at, GAP)
        after, attempt = moved(database, job, State.UNCONFIRMED, Phase.UNCONFIRMED)
        assert attempt.absent_at == walked
        assert after.due_at == walked + GAP
    assert arrow(lifecycle.absent, [fence], walked + GAP, GAP) == {fence}
    after, attempt = moved(database, job, State.PENDING, Phase.ABSENT)
    assert (after.absences, after.attempts) == (1, 0)
    assert attempt.finished_at is not None
    assert not attempt.possibly_paid
    assert not arrow(lifecycle.absent, [fence], walked + 3 * GAP, GAP)


def test_five_absences_are_no_accident(database, make, arrow):
    job = make(State.UNCONFIRMED, absences=4)
    walked = rows.now(database)
    for at in (walked, walked + GAP):
        arrow(lifecycle.absent, [rows.fence(job)], at, GAP)
    after, _ = moved(database, job, State.FAILED, Phase.ABSENT)
    assert (after.error_class, after.absences) == ("unsubmittable", 5)


def test_what_cannot_be_proven_is_not_bought_again_unasked(database, make, arrow):
    job = make(State.UNCONFIRMED)
    assert arrow(lifecycle.unprovable, [rows.fence(job)], "nobody can tell")
    after, attempt = moved(database, job, State.FAILED, Phase.FAILED)
    assert (after.error_class, after.error_message) == ("unconfirmed", "nobody can tell")
    assert attempt.possibly_paid


def test_what_is_presumed_absent_is_reported_as_possibly_paid(database, make, arrow):
    job = make(State.UNCONFIRMED)
    assert arrow(lifecycle.presumed_absent, [rows.fence(job)])
    _, attempt = moved(database, job, State.PENDING, Phase.ABSENT)
    assert attempt.possibly_paid


# From bought to done


def test_what_succeeded_is_fetched_at_once(database, make, arrow):
    job = make(State.RUNNING)
    ended = rows.now(database)
    item = Produced(rows.fence(job), ("https://x/0.png", None), ended, predict_time=7.5, cost=0.0093)
    assert arrow(lifecycle.produced, [item])
    after, attempt = moved(database, job, State.COLLECTING, Phase.COLLECTING)
    assert (attempt.produced_at, attempt.predict_time, attempt.cost) == (ended, 7.5, 0.0093)
    assert after.due_at <= rows.now(database)
    outputs = rows.rows(database, tables.outputs)
    assert [(o.job_id, o.index, o.url, o.path) for o in outputs] == [
        (job.id, 0, "https://x/0.png", None),
        (job.id, 1, None, None),
    ]
    assert not arrow(lifecycle.produced, [item])
    assert len(rows.rows(database, tables.outputs)) == 2


def test_a_job_has_succeeded_when_every_image_is_in_its_row(database, make, arrow):
    job = make(State.RUNNING)
    fence = rows.fence(job)
    arrow(lifecycle.produced, [Produced(fence, ("https://x/0.png", "https://x/1.png"), job.created_at)])
    arrow(lifecycle.kept, [image(fence, 0, "cats/tom-0.png")])
    assert not arrow(lifecycle.stored, [fence])
    arrow(lifecycle.kept, [image(fence, 1, "cats/tom-1.png")])
    assert arrow(lifecycle.stored, [fence]) == {fence}
    after, attempt = moved(database, job, State.SUCCEEDED, Phase.SUCCEEDED)
    assert (after.due_at, after.finished_at) == (None, attempt.finished_at)
    before = rows.everything(database)
    assert not arrow(lifecycle.stored, [fence])
    assert rows.everything(database) == before


def test_a_second_telling_of_a_file_changes_nothing(database, make, arrow):
    job = make(State.COLLECTING)
    arrow(lifecycle.kept, [image(rows.fence(job), path="cats/tom-0.png")])
    before = rows.everything(database)
    arrow(lifecycle.kept, [image(rows.fence(job), path="cats/tom.2-0.png", digest="b")])
    assert rows.everything(database) == before


def test_a_file_that_is_another_jobs_already_spares_the_others(database, make):
    jobs = [make(State.COLLECTING) for _ in range(3)]
    taken, other, third = (rows.fence(job) for job in jobs)
    images = [
        image(taken, path="cats/tom-0.png"),
        image(other, path="cats/tom-0.png"),
        image(third, path="cats/leo-0.png"),
    ]
    with database.write() as tx:
        won = lifecycle.settle(tx, jobs[0].created_at, lifecycle.kept, images)
        assert lifecycle.stored(tx, jobs[0].created_at, [taken, other, third]) == won == {taken, third}


def test_a_file_of_an_attempt_that_failed_in_the_meantime_is_still_remembered(database, make, arrow):
    job = make(State.COLLECTING)
    arrow(lifecycle.failed, [Failure(rows.fence(job), "expired", "404")])
    arrow(lifecycle.kept, [image(rows.fence(job))])
    [output] = rows.rows(database, tables.outputs)
    assert output.path == "cats/tom-0.png"


@pytest.mark.parametrize(("counted", "attempts"), [(True, 1), (False, 0)])
def test_an_interrupted_run_is_wanted_again(database, make, arrow, counted, attempts):
    job = make(State.RUNNING)
    again = rows.now(database) + LEASE
    item = Interrupted(rows.fence(job), "interrupted", "PA", again, counted=counted, predict_time=3.0)
    assert arrow(lifecycle.interrupted, [item])
    after, attempt = moved(database, job, State.PENDING, Phase.FAILED)
    assert (after.due_at, after.attempts, after.error_class) == (again, attempts, None)
    assert (attempt.error_class, attempt.error_message, attempt.predict_time) == ("interrupted", "PA", 3.0)


@pytest.mark.parametrize("state", [State.RUNNING, State.COLLECTING])
def test_a_failed_job_says_why(database, make, arrow, state):
    jobs = [make(state) for _ in range(3)]
    items = [Failure(rows.fence(job), f"class-{n % 2}", f"message {n}") for n, job in enumerate(jobs)]
    assert len(arrow(lifecycle.failed, items)) == 3
    for n, job in enumerate(jobs):
        after, attempt = moved(database, job, State.FAILED, Phase.FAILED)
        assert (after.error_class, after.error_message) == (f"class-{n % 2}", f"message {n}")
        assert (attempt.error_class, attempt.error_message) == (f"class-{n % 2}", f"message {n}")


def test_a_cancelled_prediction_ends_its_job(database, make, arrow):
    job = make(State.RUNNING)
    assert arrow(lifecycle.cancelled, [rows.fence(job)])
    moved(database, job, State.CANCELLED, Phase.CANCELLED)


# What a person decides


def test_a_cancelled_job_that_was_never_bought_is_over_at_once(database, make, arrow):
    jobs = {state: make(state) for state in State}
    assert arrow(lifecycle.cancel, [job.id for job in jobs.values()]) == 2
    after = {state: rows.job(database, job.id).state for state, job in jobs.items()}
    assert after == {
        **{state: state for state in State},
        State.PENDING: State.CANCELLED,
        State.QUEUED: State.CANCELLED,
    }


def test_what_is_in_flight_is_asked_to_end_and_what_is_produced_is_left_to_finish(database, make, arrow):
    jobs = {state: make(state) for state in State}
    assert arrow(lifecycle.ask_to_cancel, [job.id for job in jobs.values()]) == 3
    asked = {state for state, job in jobs.items() if rows.job(database, job.id).cancel_requested_at}
    assert asked == {State.SUBMITTING, State.UNCONFIRMED, State.RUNNING}
    assert arrow(lifecycle.ask_to_cancel, [job.id for job in jobs.values()]) == 0


def test_a_cancelled_send_that_came_back_unbought_is_over(database, make, arrow):
    job, other = make(State.SUBMITTING), make(State.RUNNING)
    arrow(lifecycle.ask_to_cancel, [job.id, other.id])
    arrow(lifecycle.not_bought, [NotBought(rows.fence(job), "429", job.created_at)])
    assert arrow(lifecycle.cancel_unsent) == 1
    assert rows.job(database, job.id).state == State.CANCELLED
    assert rows.job(database, other.id).state == State.RUNNING


def test_giving_up_is_for_what_has_failed(database, make, arrow):
    jobs = {state: make(state) for state in State}
    assert arrow(lifecycle.give_up, [job.id for job in jobs.values()]) == 1
    after = rows.job(database, jobs[State.FAILED].id)
    assert (after.state, after.error_class, after.error_message) == (State.CANCELLED, None, None)


def test_retry_makes_what_is_over_wanted_once_more_and_forgets_nothing(database, make, arrow):
    jobs = {state: make(state, absences=3) for state in State}
    history = rows.rows(database, tables.attempts), rows.rows(database, tables.outputs)
    rows.change(database, tables.jobs, jobs[State.FAILED].id, cancel_requested_at=rows.now(database))
    assert arrow(lifecycle.retry, [job.id for job in jobs.values()]) == 3
    for state in FINAL:
        after = rows.job(database, jobs[state].id)
        assert (after.state, after.attempts, after.absences) == (State.PENDING, 0, 0)
        assert (after.error_class, after.error_message, after.finished_at) == (None, None, None)
        assert after.cancel_requested_at is None
        assert after.due_at <= rows.now(database)
    for state in set(State) - FINAL:
        assert rows.job(database, jobs[state].id) == jobs[state]
    assert (rows.rows(database, tables.attempts), rows.rows(database, tables.outputs)) == history


def test_a_new_input_is_for_jobs_that_are_not_under_way(database, make):
    jobs = {state: make(state) for state in State}
    with database.write() as tx:
        lifecycle.change_input(tx, {job.id: {"seed": 99} for job in jobs.values()}, own_seed=False)
    changed = {state for state, job in jobs.items() if rows.job(database, job.id).input == {"seed": 99}}
    assert changed == {State.PENDING, *FINAL}


def test_arrows_over_nothing_write_nothing(database, arrow):
    with database.write() as tx:
        lifecycle.look_again(tx, State.RUNNING, {})
        assert lifecycle.settle(tx, databases.now(tx), pytest.fail, []) == set()
    for decide in (lifecycle.retry, lifecycle.cancel, lifecycle.ask_to_cancel, lifecycle.give_up):
        assert arrow(decide, []) == 0
    assert rows.everything(database) == [[], [], []]


def test_an_open_attempt_is_always_its_jobs_current_one(database, make):
    for state in State:
        make(state)
    open_ones = [a for a in rows.rows(database, tables.attempts) if a.phase in OPEN_PHASES]
    assert {a.id for a in open_ones} == {
        job.attempt_id for job in rows.rows(database, tables.jobs) if job.state in HELD
    }
