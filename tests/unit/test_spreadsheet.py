"""Cells of exported CSV files."""

import csv
import io

import pytest

from jobs.reports import spreadsheet


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd", "-x", "@SUM(A1)", "\t=1", "\r=1", "+49 40 12", "-1+2", "=HYPERLINK()"]
)
def test_what_a_spreadsheet_would_run_begins_with_an_apostrophe(text):
    assert spreadsheet.cell(text, raw=False) == f"'{text}"
    assert spreadsheet.cell(text, raw=True) == text


@pytest.mark.parametrize("text", ["-5", "+49", "-0.5", "a=b", "", "'=1", "https://x.example/?a=b"])
def test_what_runs_nothing_stays_as_it_is(text):
    assert spreadsheet.cell(text, raw=False) == text


@pytest.mark.parametrize(
    ("value", "written"), [(None, ""), (-7, "-7"), (-0.5, "-0.5"), (False, "false"), (["=1"], '["=1"]')]
)
def test_values_that_are_no_text_are_written_as_manifests_write_them(value, written):
    assert spreadsheet.cell(value, raw=False) == written


def test_rows_are_rfc_4180():
    out = io.StringIO()
    assert spreadsheet.write(out, [["a", 'say "hi"'], ["x\ny", "1,2"]], raw=False) == 2
    assert out.getvalue() == 'a,"say ""hi"""\r\n"x\ny","1,2"\r\n'


def test_any_text_comes_back_from_a_reader():
    texts = ["", " ", "a\r\nb", '"', ",", "\u2028", "🦊", "\x1b[2J", "'"]
    out = io.StringIO(newline="")
    spreadsheet.write(out, [texts], raw=True)
    assert list(csv.reader(io.StringIO(out.getvalue(), newline=""), strict=True)) == [texts]
