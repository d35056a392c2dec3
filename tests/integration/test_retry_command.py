"""Running jobs again: which ones that takes, with what input, and what the command says about it."""

import random

import pytest
import sqlalchemy as sa

from jobs import errors, failures, tables
from jobs.by_hand import changes, retrying
from jobs.selecting import lookup, selection
from jobs.selecting.selection import Selection
from jobs.states import BatchState, Phase, State
from tests import factory


def retried(database, batch, typed, given=(), *, new_seed=False):
    """Retry as the command does; return how many that were."""
    chosen = retrying.wanted(typed)
    with database.read() as tx:
        found = lookup.batch(tx, batch.name)
        ids = selection.ids(tx, chosen, found.id)
    return retrying.retry(database, found, chosen, ids, changes.read(given, new_seed=new_seed))


def row_of(database, job):
    with database.read() as tx:
        return tx.execute(sa.select(tables.jobs).where(tables.jobs.c.id == job.id)).one()


def pending(database):
    with database.read() as tx:
        query = sa.select(tables.jobs.c.key).where(tables.jobs.c.state == State.PENDING)
        return sorted(tx.execute(query).scalars())


@pytest.fixture
def batch(database):
    return factory.make_batch(database)


def test_without_filters_it_takes_what_may_pass_and_no_other(database, batch):
    for error_class in failures.FailureClass:
        factory.make_job(database, batch, state=State.FAILED, key=error_class, error_class=error_class)
    factory.make_job(database, batch, state=State.SUCCEEDED)
    factory.make_job(database, batch, state=State.CANCELLED)
    assert retried(database, batch, Selection()) == 6
    plain = ["download-failed", "expired", "interrupted", "output-invalid", "timed-out", "unconfirmed"]
    assert pending(database) == plain
    with database.read() as tx:
        left = retrying.left_out(tx, lookup.batch(tx, batch.name))
    assert sorted(name for name, _ in left) == sorted(set(failures.FailureClass) - set(plain))


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (Selection(classes=("nsfw",)), ["cats/nsfw"]),
        (Selection(keys=("cats/*",)), ["cats/flaky", "cats/nsfw"]),
        (Selection(keys=("cats/done",)), ["cats/done"]),
        (Selection(keys=("cats/done", "cats/gone")), ["cats/done", "cats/gone"]),
        (Selection(keys=("cats/done", "cats/f*")), ["cats/flaky"]),
        (Selection(states=("succeeded",)), ["cats/done"]),
        (Selection(states=("succeeded", "cancelled")), ["cats/done", "cats/gone"]),
        (Selection(limit=1), ["cats/flaky"]),
        (Selection(match="safety"), ["cats/nsfw"]),
    ],
)
def test_with_filters_it_takes_exactly_these_and_what_succeeded_only_by_name(
    database, batch, typed, expected
):
    make = {"state": State.FAILED}
    factory.make_job(database, batch, key="cats/flaky", **make, error_class="interrupted")
    factory.make_job(
        database, batch, key="cats/nsfw", **make, error_class="nsfw", error_message="Safety first"
    )
    factory.make_job(database, batch, key="cats/done", state=State.SUCCEEDED)
    factory.make_job(database, batch, key="cats/gone", state=State.CANCELLED)
    assert retried(database, batch, typed) == len(expected)
    assert pending(database) == expected


def test_a_job_that_is_under_way_cannot_be_asked_for(database, batch):
    with pytest.raises(errors.Mistake, match="running is under way already"):
        retried(database, batch, Selection(states=("failed", "running")))


def test_what_is_chosen_looks_like_new_and_its_history_stays(database, batch):
    job = factory.make_job(database, batch, state=State.FAILED, absences=3, attempts=3, error_class="expired")
    retried(database, batch, Selection())
    row = row_of(database, job)
    assert (row.state, row.attempts, row.absences) == (State.PENDING, 0, 0)
    assert (row.error_class, row.finished_at) == (None, None)
    with database.read() as tx:
        phases = tx.execute(sa.select(tables.attempts.c.phase, tables.attempts.c.input)).all()
        kinds = tx.execute(sa.select(tables.events.c.kind, tables.events.c.detail)).all()
    assert phases == [(Phase.FAILED, job.input)]
    assert kinds == [("retried", "1 job")]


def test_another_value_changes_the_job_and_not_what_was_sent(database, batch):
    make = {"state": State.FAILED, "error_class": "out-of-memory"}
    ours = factory.make_job(database, batch, **make, input={"prompt": "a fox", "seed": 7, "num_outputs": 8})
    theirs = factory.make_job(database, batch, **make, own_seed=False)
    typed = Selection(classes=("out-of-memory",))
    assert retried(database, batch, typed, [("num_outputs", "1"), ("negative_prompt", "dogs")]) == 2
    row = row_of(database, ours)
    assert row.input == {"prompt": "a fox", "seed": 7, "num_outputs": 1, "negative_prompt": "dogs"}
    assert row.own_seed
    assert not row_of(database, theirs).own_seed
    with database.read() as tx:
        assert tx.execute(sa.select(tables.attempts.c.input)).scalars().first() == ours.input


def test_a_seed_that_a_person_chose_is_no_longer_ours(database, batch):
    job = factory.make_job(database, batch, state=State.FAILED)
    retried(database, batch, Selection(states=("failed",)), [("seed", "12")])
    assert row_of(database, job).input["seed"] == 12
    assert not row_of(database, job).own_seed


def test_a_new_seed_is_ours_and_differs_from_every_earlier_one(database, batch):
    job = factory.make_job(database, batch, state=State.FAILED, own_seed=False)
    seeds = [job.input["seed"]]
    for _ in range(4):
        assert retried(database, batch, Selection(keys=(job.key,)), new_seed=True) == 1
        row = row_of(database, job)
        assert row.own_seed
        seeds.append(row.input["seed"])
        with database.write() as tx:  # it fails again, sometimes before anything was sent
            change = {"state": "failed", "due_at": None, "finished_at": row.created_at, "error_class": "nsfw"}
            tx.execute(sa.update(tables.jobs).values(change))
        if random.Random(len(seeds)).random() < 0.5:
            factory.make_attempt(database, row, Phase.FAILED)
    assert len(set(seeds)) == 5


def test_a_batch_that_is_cancelled_meanwhile_stays_so(database, batch):
    factory.make_job(database, batch, state=State.FAILED, error_class="expired")
    with database.read() as tx:
        found = lookup.batch(tx, batch.name)
        ids = selection.ids(tx, Selection(), found.id)
    with database.write() as tx:
        tx.execute(sa.update(tables.batches).values(state=BatchState.CANCELLED))
    with pytest.raises(errors.Mistake, match="is cancelled"):
        retrying.retry(database, found, Selection(), ids, changes.Change())
    assert pending(database) == []


def test_of_two_who_retry_at_once_the_second_finds_nothing(database, batch):
    factory.make_job(database, batch, state=State.FAILED, error_class="expired")
    chosen = retrying.wanted(Selection())
    with database.read() as tx:
        found = lookup.batch(tx, batch.name)
        ids = selection.ids(tx, chosen, found.id)
    assert retrying.retry(database, found, chosen, ids, changes.Change()) == 1
    assert retrying.retry(database, found, chosen, ids, changes.Change(new_seed=True)) == 0


def test_a_plain_retry_says_who_buys_and_which_commands_the_rest_needs(desk):
    desk.job(error_class="interrupted")
    desk.job(error_class="nsfw")
    desk.job(error_class="nsfw")
    ended = desk.type("retry", "cats", OVERNIGHT_PRICE="0.5")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr.splitlines() == [
        "cats: 1 job (about 0.5 at 0.5 each) to run again",
        "A run of it that is under way picks them up by itself; otherwise type next: overnight run cats",
        "left out: 2 nsfw (the safety check dropped every image): overnight retry cats --class nsfw --new-seed",
    ]
    printed = ended.stderr.splitlines()[-1].rpartition(": ")[2]
    assert desk.type_line(printed).stderr.startswith("cats: 2 jobs ")
    again_typed = desk.type("retry", "cats")
    assert (again_typed.returncode, again_typed.stderr) == (0, "cats: no job to run again\n")


def test_what_may_be_paid_for_already_is_told_before_it_is_run_again(desk):
    desk.job(key="a", error_class="unconfirmed")
    desk.job(key="b", error_class="interrupted")
    for words in (["--dry-run"], []):
        told = desk.type("retry", "cats", *words).stderr.splitlines()
        assert (
            "1 job failed as unconfirmed and may be paid for already; to run again is to pay again" in told[0]
        )
        assert told[1].startswith("cats: 2 jobs ")
    printed = told[0].rpartition("look first: ")[2]
    assert desk.type_line(printed).returncode == 0


def test_keys_that_fit_only_what_succeeded_say_so_and_how_to_buy_that_again(desk):
    for key, state in (("red/a", "succeeded"), ("red/b", "succeeded"), ("red/c", "cancelled")):
        desk.job(state, key=key)
    desk.job("succeeded", key="blue/a")
    told = desk.type("retry", "cats", "--key", "red/*").stderr
    assert told.startswith(
        "cats: no job to run again among those, but 1 cancelled and 2 succeeded; to buy them again"
    )
    assert pending(desk.database) == []
    assert desk.type_line(told.splitlines()[0].rpartition(": ")[2]).returncode == 0
    assert pending(desk.database) == ["red/a", "red/b", "red/c"]
    assert desk.type("retry", "cats", "--key", "green/*").stderr == "cats: no job to run again among those\n"


def test_more_than_a_thousand_jobs_are_asked_for_in_a_terminal(desk):
    job = desk.job(error_class="expired")
    like = dict(job._mapping)
    numbers = range(job.id + 1, job.id + 1001)
    with desk.database.write() as tx:
        own = [{"id": n, "key": f"k{n}", "stem": f"k{n}", "row": n} for n in numbers]
        tx.execute(sa.insert(tables.jobs), [like | one for one in own])
    code, shown = desk.type_in_a_terminal("retry", "cats", answer="n\n")
    assert (code, "of cats again? [y/N]" in shown) == (130, True), shown
    assert pending(desk.database) == []
    code, shown = desk.type_in_a_terminal("retry", "cats", "--yes")
    assert (code, "[y/N]" in shown) == (0, False), shown
    assert len(pending(desk.database)) == 1001


def test_a_dry_run_counts_prices_and_changes_nothing(desk):
    for _ in range(3):
        desk.job(error_class="expired")
    before = desk.type("jobs").stdout
    ended = desk.type("retry", "cats", "--dry-run", "--new-seed", OVERNIGHT_PRICE="0.0093")
    assert ended.returncode == 0
    assert ended.stderr == "cats: 3 jobs (about 0.0279 at 0.0093 each) would run again; nothing was changed\n"
    assert desk.type("jobs").stdout == before


def test_what_it_prints_carries_the_options_that_were_typed(desk):
    desk.job(error_class="expired")
    ended = desk.type("retry", "cats", "--api", factory.API, "--database", "sqlite:///overnight.db")
    assert f"overnight run cats --api {factory.API} --database sqlite:///overnight.db" in ended.stderr


def test_what_it_prints_names_the_batch_s_api_where_the_settings_name_another(desk):
    desk.job(error_class="expired")
    desk.job(error_class="nsfw")
    for command, next_verb in (("retry cats", "run"), ("status", "run"), ("pause cats", "resume")):
        done = desk.type(*command.split(), OVERNIGHT_API_URL="replicate")
        assert f"overnight {next_verb} cats --api {factory.API}" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["cat"], 'there is no batch "cat"; did you mean cats?'),
        (["cats", "--set", "promt=x"], "did you mean prompt?"),
        (["cats", "--set", "prompt"], "is not of the form NAME=VALUE"),
        (["cats", "--class", "nfsw"], '"nfsw" is unknown; did you mean nsfw?\n'),
        (["cats", "--class", "bogus"], "'bogus' is not one of 'interrupted', "),
        (["cats", "--state", "pending"], "under way already"),
        (["cats", "--key", "[z-a]"], 'write "a-z"'),
        ([], "Missing argument 'BATCH'"),
    ],
)
def test_a_mistake_ends_with_2_and_changes_nothing(desk, words, sentence):
    desk.job(key="a", error_class="expired")
    ended = desk.type("retry", *words)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert desk.states() == {"a": "failed"}


def test_a_folder_that_is_gone_as_a_whole_is_not_bought_again(desk):
    desk.job("succeeded", key="a")
    output = desk.folder / "outputs"
    output.mkdir()
    ended = desk.type("retry", "cats", "--missing")
    assert ended.returncode == 2
    assert f"{output / 'cats'} is not there: mount its disk, or move it back" in ended.stderr
    assert desk.states() == {"a": "succeeded"}
    (output / "cats").mkdir()
    assert desk.type("retry", "cats", "--missing").returncode == 0
    assert desk.states() == {"a": "pending"}


def test_a_cancelled_batch_ends_with_2(desk):
    desk.job(error_class="expired")
    desk.job("pending")
    assert desk.type("cancel", "cats", "--yes").returncode == 0
    ended = desk.type("retry", "cats")
    assert ended.returncode == 2
    assert "batch cats is cancelled" in ended.stderr
