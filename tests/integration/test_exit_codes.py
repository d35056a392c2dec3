"""Every exit code, each by the real command in surroundings that deserve it."""

import pytest

from overnight.exits import Exit
from tests.integration import evening


def none_failed(tmp_path, start_sandbox):
    return evening.Evening(tmp_path, start_sandbox()).run_again()


def some_failed(tmp_path, start_sandbox):
    return evening.Evening(tmp_path, start_sandbox(faults={"nsfw": 1})).run_again()


def mistake(tmp_path, start_sandbox):
    night = evening.Evening(tmp_path, start_sandbox())
    night.manifest.write_text("image,prompt,prompt_strenght\nhttps://example.com/a.png,a lake,0.5\n")
    return night.run_again()


def unavailable(tmp_path, _):
    return evening.Evening(tmp_path).run_again()


def bug(tmp_path, start_sandbox):
    faulty = tmp_path / "faulty"
    faulty.mkdir()
    # Python imports a module of this name by itself at its start.
    (faulty / "sitecustomize.py").write_text(
        "from jobs.reports import status\n"
        "def progress(tx, batch_id): return {}['nothing']\n"
        "status.progress = progress\n"
    )
    return evening.Evening(tmp_path, start_sandbox()).run_again(PYTHONPATH=str(faulty))


def halted(tmp_path, start_sandbox):
    night = evening.Evening(tmp_path, start_sandbox())
    night.type("load", "night.csv")
    night.type("pause", "night")
    return night.run_again()


def interrupted(tmp_path, start_sandbox):
    night = evening.Evening(tmp_path, start_sandbox(), jobs=500, creates_per_minute=120)
    with night.running() as child:
        night.until_bought()
        evening.interrupt(child)
        child.returncode, child.out, words = evening.ended(child)
    child.stderr = words
    return child


WAYS = {
    Exit.NONE_FAILED: none_failed,
    Exit.SOME_FAILED: some_failed,
    Exit.MISTAKE: mistake,
    Exit.UNAVAILABLE: unavailable,
    Exit.BUG: bug,
    Exit.HALTED: halted,
    Exit.INTERRUPTED: interrupted,
}


@pytest.mark.parametrize("code", Exit, ids=str)
def test_the_real_command_ends_with(code, tmp_path, start_sandbox):
    process = WAYS[code](tmp_path, start_sandbox)
    assert process.returncode == code, process.stderr
    assert "Traceback" not in process.stderr
