"""`overnight rehearse`: a night that leaves nothing behind but its figures."""

import json
import os
import signal
import subprocess

import pytest

from tests import programs
from tests.integration.rehearsal import eventually

SLOW = {"OVERNIGHT_CREATES_PER_MINUTE": "60"}  # of life; the rehearsal is twenty times as fast


class Rehearsal:
    """A folder with a manifest, and another one for what is thrown away."""

    def __init__(self, folder, jobs):
        self.folder, self.thrown = folder / "desk", folder / "thrown"
        self.folder.mkdir()
        self.thrown.mkdir()
        rows = [f"https://example.com/sketch.png,a lake in winter {n},0.6" for n in range(jobs)]
        self.manifest = self.folder / "tonight.csv"
        self.manifest.write_text("\n".join(["image,prompt,prompt_strength", *rows, ""]))

    def start(self, *words, **environment):
        return programs.Program(
            *("overnight", "rehearse", *words),
            cwd=self.folder,
            env=os.environ | {"TMPDIR": str(self.thrown)} | SLOW | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def type(self, *words, **environment):
        """Type `overnight rehearse …`; return exit code, stdout and stderr, with nothing left behind."""
        with self.start(*words, **environment) as process:
            out, words_said = process.communicate(timeout=120)
        self.left_nothing()
        return process.returncode, out, words_said

    def left_nothing(self):
        assert list(self.folder.iterdir()) == [self.manifest]
        assert list(self.thrown.iterdir()) == []


@pytest.fixture
def rehearsal(tmp_path):
    return Rehearsal(tmp_path, jobs=5)


def test_a_file_that_is_not_there_is_one_line(rehearsal):
    said = f"overnight: nowhere.csv: no such file in {rehearsal.folder}\n"
    assert rehearsal.type("nowhere.csv") == (2, "", said)


def test_a_night_without_faults_is_told_with_its_cost_and_needs_no_token(rehearsal):
    code, out, said = rehearsal.type("tonight.csv", "--profile", "replicate", OVERNIGHT_PRICE="0.01")
    assert (code, out.splitlines()[0]) == (0, "tonight: 5 jobs: 5 succeeded"), said
    assert "bought     5 predictions, 0 of them surplus; 0 jobs possibly paid twice" in out
    assert "cost       at most 0.05 (5 predictions at 0.01)" in out
    assert "rehearsing 5 jobs, 20 times as fast as real time" in said


def test_a_script_reads_the_figures_as_json_and_the_limit_holds(rehearsal):
    code, out, said = rehearsal.type("tonight.csv", "--profile", "replicate", "--limit", "2", "--json", "-q")
    assert (code, said) == (0, "")
    told = json.loads(out)
    assert (told["jobs"], told["predictions"], told["finished"]) == ({"succeeded": 2}, 2, True)
    assert told["seconds"] == pytest.approx(20 * told["rehearsed_seconds"], abs=2)
    assert 1 <= told["peak_in_flight"] <= 2


@pytest.mark.parametrize("profile", ["gateway", "hostile"])
def test_every_profile_is_lived_through_and_every_job_accounted_for(rehearsal, profile):
    code, out, said = rehearsal.type("tonight.csv", "--profile", profile, "--json")
    told = json.loads(out)
    assert code in {0, 1}, said
    assert sum(told["jobs"].values()) == 5
    assert told["jobs"].keys() <= {"succeeded", "failed"}
    assert sum(told["failures"].values()) == told["jobs"].get("failed", 0)


def test_database_broker_and_outputs_of_the_real_night_are_left_alone(rehearsal):
    code, out, said = rehearsal.type(
        "tonight.csv",
        "--profile=replicate",
        "--limit=1",
        OVERNIGHT_DATABASE_URL="postgresql://nobody@127.0.0.1:9/none",
        OVERNIGHT_BROKER_URL="redis://127.0.0.1:9/0",
        OVERNIGHT_OUTPUT=str(rehearsal.folder / "real"),
    )
    assert (code, out.splitlines()[0]) == (0, "tonight: 1 job: 1 succeeded"), said


def test_a_manifest_with_a_mistake_ends_with_2(rehearsal):
    rehearsal.manifest.write_text("image,prompt,steps\nhttps://example.com/a.png,a lake,20\n")
    code, out, said = rehearsal.type("tonight.csv")
    assert (code, out) == (2, "")
    assert "did you mean num_inference_steps?" in said


def test_an_interrupted_rehearsal_tells_what_it_has_seen_and_leaves_nothing(tmp_path):
    rehearsal = Rehearsal(tmp_path, jobs=400)
    with rehearsal.start("tonight.csv", "--profile=replicate", "--json") as process:
        (folder,) = eventually(lambda: list(rehearsal.thrown.iterdir()))
        ledger = folder / "sandbox" / "ledger.jsonl"
        eventually(lambda: ledger.exists() and ledger.stat().st_size)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["finished"] is False
    rehearsal.left_nothing()


def test_a_rehearsal_ends_in_time_and_tells_how_long_all_would_take(tmp_path):
    rehearsal = Rehearsal(tmp_path, jobs=3000)
    code, out, said = rehearsal.type("tonight.csv", "--profile=replicate", "--within=10s")
    assert code == 75, said
    assert "for 10s at most" in said
    assert "not finished in 10s; for more time: --within" in out
    assert "for all; rehearsed in" in out


def test_a_time_that_is_none_is_a_mistake(rehearsal):
    code, out, said = rehearsal.type("tonight.csv", "--within=soon")
    assert (code, out) == (2, "")
    assert "soon" in said
