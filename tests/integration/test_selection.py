"""The filters choose the same jobs on both databases, and nothing that a person types is more than text."""

import random

import pytest
import sqlalchemy as sa

from jobs import errors, tables
from jobs.selecting import globs, selection
from jobs.states import State
from tests import factory, rows

# What ends a text, opens another, matches anything or is a command, in one of the languages on the way.
FRAGMENTS = [
    "'", '"', "''", '""', "\\", "\\'", "%", "_", "*", "?", "[", "]", "[]", "[a-z]", "^", "$", ".", ".*", "(", ")", "|",
    "{1}", "+", "--", "/*", "*/", ";", "`", "$.a", "$[0]", '$."a"', "#>", "->>", "::text", ":name", "%(name)s", "%s",
    "{0}", "\t", "\n", "\r", " ", "é", "狐", "🦊", "\u202e", "\x1b[2J", "\\u0041", "\\x41", "NULL", "null", "true", "0",
]  # fmt: skip
PHRASES = [
    "' OR '1'='1", "'; DROP TABLE jobs; --", '" OR ""="', "') OR 1=1 --", "x' UNION SELECT * FROM accounts --",
    "%' ESCAPE '!", "\\'; DELETE FROM jobs; --", "a' || 'b", "1; SELECT pg_sleep(60)", "${jndi:ldap://x}", "(?i)a",
    "***=a", "***:a", "(?x) a", "[[:alpha:]]", "[[.a.]]", "[[=a=]]", "\\Aa", "\\m", "\\y", "(a+)+b", "a{1,99}",
    '"] | .. ["', '{"a": 1}', "[1]", "$**",
]  # fmt: skip


def payloads():
    """Return two hundred texts, the same ones every time."""
    drawn = random.Random(2)
    mixed = {"".join(drawn.choices(FRAGMENTS, k=drawn.randint(2, 4))) for _ in range(300)}
    return [*FRAGMENTS, *PHRASES, *sorted(mixed - {*FRAGMENTS, *PHRASES})][:200]


PAYLOADS = payloads()


def chosen_by(missing=None, **filters):
    """Return a selection; ``missing`` is the folder of every batch's images."""
    return selection.Selection(**filters, missing=missing and (lambda _kept: missing))


def chosen(database, batch=None, **filters):
    """Return the keys that a selection chooses."""
    with database.read() as tx:
        found = selection.ids(tx, chosen_by(**filters), batch and batch.id).tolist()
        rows = tx.execute(sa.select(tables.jobs.c.id, tables.jobs.c.key)).all()
    keys = {row.id: row.key for row in rows}
    return [keys[job] for job in found]


@pytest.fixture
def batch(database):
    return factory.make_batch(database)


@pytest.fixture
def hostile(database, batch):
    """A job for each payload, with the payload as key, as label's name, as label's value and as error."""
    template = factory.make_job(database, batch, state=State.CANCELLED, key="template")._mapping
    rows = [
        dict(template)
        | {
            "id": template["id"] + 1 + n,
            "key": text,
            "stem": f"stem-{n}",
            "state": "failed",
            "error_class": "model-error",
            "error_message": text,
            "labels": {text: "named", "text": text},
        }
        for n, text in enumerate(PAYLOADS)
    ]
    with database.write() as tx:
        tx.execute(sa.insert(tables.jobs), rows)
    return database


def test_there_are_two_hundred_payloads():
    assert len(set(PAYLOADS)) == 200


def test_a_payload_is_a_text_and_nothing_else(hostile):
    for text in PAYLOADS:
        assert chosen(hostile, labels=(("text", text),)) == [text]
        assert chosen(hostile, labels=((text, "named"),)) == [text]
        assert chosen(hostile, labels=(("text", f"{text}?"),)) == [t for t in PAYLOADS if t == f"{text}?"]
        assert chosen(hostile, match=text) == [t for t in PAYLOADS if ascii_lower(text) in ascii_lower(t)]
        assert chosen(hostile, keys=(globs.exactly(text),)) == [text]


def test_a_payload_as_a_glob_fits_what_the_grammar_says(hostile):
    for text in PAYLOADS:
        fitting = [t for t in ["template", *PAYLOADS] if fits(text, t)]
        assert chosen(hostile, keys=(text,)) == fitting, text


@pytest.mark.parametrize("seed", range(4))
def test_random_globs_fit_what_the_grammar_says(database, batch, seed):
    drawn = random.Random(seed)
    alphabet = "abC-]^![*?\\é狐.\n"
    keys = sorted({"".join(drawn.choices(alphabet, k=drawn.randint(1, 4))) for _ in range(60)})
    for key in keys:
        factory.make_job(database, batch, key=key)
    for _ in range(150):
        glob = "".join(drawn.choices(f"{alphabet}[[]]**??--", k=drawn.randint(1, 7)))
        try:
            expected = [key for key in keys if fits(glob, key)]
        except errors.Mistake:
            with pytest.raises(errors.Mistake):
                chosen(database, keys=(glob,))
            continue
        assert chosen(database, keys=(glob,)) == expected, glob


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("cats/*", ["cats/Tom", "cats/tom"]),
        ("cats/[A-Z]*", ["cats/Tom"]),
        ("cats/[!A-Z]*", ["cats/tom"]),
        ("?ats/tom", ["cats/tom"]),
        ("*/tom", ["cats/tom", "dogs/tom"]),
        ("cats", []),
    ],
)
def test_a_glob_is_the_whole_key_and_minds_its_case(database, batch, glob, expected):
    for key in ("cats/Tom", "cats/tom", "dogs/tom"):
        factory.make_job(database, batch, key=key)
    assert chosen(database, keys=(glob,)) == expected


def test_a_range_that_goes_down_is_a_mistake_with_the_one_that_was_meant(database):
    with pytest.raises(errors.Mistake, match='write "a-z", not "z-a"'):
        chosen(database, keys=("[z-a]",))


def test_every_filter_narrows_and_each_widens_among_its_own(database, batch):
    make = {"state": State.FAILED, "error_message": "CUDA out of memory"}
    factory.make_job(database, batch, key="a", **make, labels={"split": "train", "who": "me"})
    factory.make_job(database, batch, key="b", **make, error_class="nsfw", labels={"split": "train"})
    factory.make_job(database, batch, key="c", state=State.SUCCEEDED, labels={"split": "test"})
    assert chosen(database, states=("failed", "succeeded")) == ["a", "b", "c"]
    assert chosen(database, classes=("nsfw",)) == ["b"]
    assert chosen(database, labels=(("split", "train"),)) == ["a", "b"]
    assert chosen(database, labels=(("split", "train"), ("who", "me"))) == ["a"]
    assert chosen(database, keys=("a", "c"), states=("failed",)) == ["a"]
    assert chosen(database, match="cuda OUT") == ["a", "b"]
    assert chosen(database, match="CÜDA") == []


def test_one_batch_or_all_and_the_first_so_many(database, batch):
    other = factory.make_batch(database)
    for key in ("a", "b", "c"):
        factory.make_job(database, batch, key=key)
    factory.make_job(database, other, key="z")
    assert chosen(database) == ["a", "b", "c", "z"]
    assert chosen(database, batch, limit=2) == ["a", "b"]
    assert chosen(database, other, limit=2) == ["z"]


@pytest.mark.parametrize("text", ["a\0b", "\udcff"])
def test_what_no_database_can_compare_is_a_mistake(text):
    with pytest.raises(errors.Mistake, match=r"NUL character|no text in this locale"):
        selection.Selection(match=text)


def test_the_ids_come_in_chunks_and_all_of_them(database, batch):
    for _ in range(7):
        factory.make_job(database, batch)
    with database.read() as tx:
        found = selection.ids(tx, selection.Selection())
    assert [len(chunk) for chunk in selection.chunks(found, 3)] == [3, 3, 1]
    assert [job for chunk in selection.chunks(found, 3) for job in chunk] == found.tolist()


def ascii_lower(text):
    return "".join(c.lower() if c.isascii() else c for c in text)


def fits(glob, key):
    """Whether a GLOB fits, by the grammar alone and neither database's own pattern language."""
    return _fits(tuple(globs.parse(glob)), key)


def _fits(tokens, key):
    if not tokens:
        return not key
    match tokens[0]:
        case globs.AnyText():
            return any(_fits(tokens[1:], key[n:]) for n in range(len(key) + 1))
        case globs.AnyOne():
            found = bool(key)
        case globs.OneOf(ranges, negated):
            found = bool(key) and any(low <= key[0] <= high for low, high in ranges) != negated
        case character:
            found = key[:1] == character
    return found and _fits(tokens[1:], key[1:])


def stored(database, output, batch, key):
    """Make a job that succeeded, with its image on disk; return where."""
    job = factory.make_job(database, batch, state=State.SUCCEEDED, key=key)
    [image] = rows.rows(database, tables.outputs, tables.outputs.c.job_id == job.id)
    path = output / image.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_missing_are_the_succeeded_jobs_of_which_an_image_is_not_there(database, batch, tmp_path):
    for key in ("gone", "there", "lost", "also gone"):
        path = stored(database, tmp_path, batch, key)
        if key != "there":
            path.unlink()
        if key == "lost":
            path.symlink_to("nowhere.png")
    factory.make_job(database, batch, state=State.FAILED, key="failed")
    assert chosen(database, batch, missing=tmp_path) == ["gone", "lost", "also gone"]
    assert chosen(database, batch, missing=tmp_path, limit=2) == ["gone", "lost"]
    assert chosen(database, batch, missing=tmp_path, keys=("*gone",), limit=1) == ["gone"]
    assert not chosen_by(missing=tmp_path).chooses_all


def test_an_image_of_another_attempt_is_not_missed(database, batch, tmp_path):
    stored(database, tmp_path, batch, "tom")
    [job] = rows.rows(database, tables.jobs)
    factory.make_output(database, factory.make_attempt(database, job, phase="succeeded"))
    assert chosen(database, batch, missing=tmp_path) == []


def test_nothing_is_called_missing_while_nobody_can_tell(database, batch, tmp_path):
    path = stored(database, tmp_path, batch, "tom")
    with pytest.raises(errors.Unavailable, match="is not there; mount its disk"):
        chosen(database, batch, missing=tmp_path / "elsewhere")
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(errors.Unavailable, match="nobody can tell whether"):
        chosen(database, batch, missing=tmp_path)
