"""Texts of strangers on their way to a terminal, a log or a spreadsheet: words, and nothing that acts."""

import csv
import io
import json
import string

import pytest
import sqlalchemy as sa

from jobs import events, tables
from jobs.accounts.breaker import BreakerState
from jobs.reports import spreadsheet
from jobs.states import BatchState

# Moves the cursor, clears, writes to the clipboard, hides, forges a line, turns the reading direction, rings.
HOSTILE = [
    "\x1b[2J\x1b[H", "\x1b]52;c;cm0gLXJm\x07", "\x1b]0;title\x07", "\x1bP+q544e\x1b\\", "\x9b31m", "a\rb", "a\x08\x08b",
    "\x07", "\u202egnp.exe", "\u2066x\u2069", "\u200b", "\u2028forged", "\u0085forged", "\x0c", "\x7f",
    "\ufeff", "\U000e0041",
]  # fmt: skip
TEXT = "begin " + " | ".join(HOSTILE) + ' \n{"event": "forged"}\novernight: forged'


@pytest.fixture
def told(desk):
    """A desk at which every text that a stranger can set holds all of it."""
    job = desk.job(
        key="tom",
        error_message=TEXT,
        image=f"https://a.example/{TEXT}",
        input={"prompt": TEXT, "seed": 1},
        labels={TEXT: TEXT},
        version=TEXT,
    )
    with desk.database.write() as tx:
        tx.execute(sa.update(tables.attempts).values(error_message=TEXT))
        tx.execute(sa.update(tables.outputs).values(url=TEXT))
        tx.execute(
            sa.update(tables.batches).values(
                state=BatchState.PAUSED, pause_reason="blocked", pause_detail=TEXT, manifest_path=f"/x/{TEXT}"
            )
        )
        tx.execute(sa.update(tables.accounts).values(breaker=BreakerState.BLOCKED, breaker_reason=TEXT))
        events.record(tx, job.created_at, desk.batch.id, events.EventKind.PAUSED, TEXT)
    return desk


COMMANDS = [
    ["status"], ["status", "cats"], ["jobs"], ["jobs", "cats", "--match", "begin"], ["show", "cats/tom"], ["export"],
    ["export", "--per", "image"], ["export", "cats", "--manifest"], ["retry", "cats", "--dry-run"],
    ["status", "cats", "--json"], ["jobs", "--json"], ["show", "cats/tom", "--json"], ["export", "--format", "jsonl"],
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_nothing_that_a_stranger_wrote_acts_on_a_terminal(told, words):
    code, shown = told.type_in_a_terminal(*words)
    assert code == 0, shown
    acting = [character for character in shown if not character.isprintable() and character not in "\n\t"]
    assert acting == []
    assert (
        not any(line.startswith(("overnight: forged", '{"event"')) for line in shown.splitlines())
        or "export" in words
    )


@pytest.mark.parametrize(
    "words", [["jobs"], ["jobs", "--json"], ["export", "--format", "jsonl"]], ids=" ".join
)
def test_a_job_is_one_line_for_programs_whatever_it_holds(told, words):
    out = told.type(*words).stdout
    assert out.count("\n") == 1
    assert out.isascii() or "--json" not in words


def test_a_name_that_was_typed_is_shown_without_acting(desk):
    for words in (
        ["show", TEXT],
        ["status", TEXT],
        ["run", TEXT],
        ["jobs", TEXT],
        ["check", TEXT],
        ["retry", TEXT],
    ):
        ended = desk.type(*words)
        assert ended.returncode == 2
        assert all(character.isprintable() or character == "\n" for character in ended.stderr), words


# A spreadsheet runs what begins like a formula, and some look past what stands before it.
PLAIN, WIDE = ("=", "+", "-", "@"), ("\uff1d", "\uff0b", "\uff0d", "\uff20")
BEGINNINGS = [
    *PLAIN, *WIDE, "\t=", "\r=", "\n=", "\r\n=", " =", "  @", "\ufeff=", "\u00a0=", "\x00=", "\u200b=", "\u3000=",
]  # fmt: skip
FORMULAS = [
    "1+1", "cmd|' /C calc'!A0", "SUM(A1:A9)", 'HYPERLINK("https://x.example","y")', "WEBSERVICE(A1)",
    'IMPORTXML("https://x.example","//a")',
]  # fmt: skip
PAYLOADS = [f"{start}{formula}" for start in BEGINNINGS for formula in FORMULAS]


def runs(cell):
    """Whether a program that opens the file might take a cell for a formula."""
    bare = cell.lstrip(string.whitespace + "\ufeff\u00a0\x00\u200b\u3000")
    return bare.startswith(PLAIN + WIDE)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_cell_of_an_export_is_a_formula(payload):
    out = io.StringIO(newline="")
    spreadsheet.write(out, [[payload]], raw=False)
    ((cell,),) = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert not runs(cell)
    assert cell == f"'{payload}"


def test_an_exported_table_has_no_formula_in_any_column_and_raw_is_as_it_was(desk):
    for n, payload in enumerate(text for text in PAYLOADS if "\x00" not in text):
        desk.job(
            key=f"={n}", error_message=payload, labels={"=x": payload}, input={"prompt": payload, "seed": -1}
        )
    safe = list(csv.reader(io.StringIO(desk.type("export").stdout, newline="")))
    assert [cell for row in safe for cell in row if runs(cell) and cell != "-1"] == []
    raw = [
        json.loads(line)["input"]["prompt"]
        for line in desk.type("export", "--format", "jsonl").stdout.splitlines()
    ]
    assert raw == [text for text in PAYLOADS if "\x00" not in text]
