"""The real command in a process of its own: what it prints, where, and the code it leaves with."""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from overnight import cli
from sandbox import faults

ROOT = Path(__file__).parents[2]
COMMANDS = [name for section in cli.SECTIONS.values() for name in section]


def overnight(*typed, folder, **environment):
    """Run the command as a person would, in a folder of the test's."""
    return subprocess.run(
        [sys.executable, "-m", "overnight", *typed],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def as_command(body, folder):
    """Return how to start the command with `example` replaced by a made-up one."""
    script = folder / "made_up.py"
    script.write_text(
        "import sys, types, click\n"
        "from jobs import errors\n"
        "from overnight import cli, exits, options\n"
        f"{body}\n"
        "made_up = types.ModuleType('overnight.commands.example')\n"
        "made_up.command = command\n"
        "sys.modules[made_up.__name__] = made_up\n"
        "cli.main(['example'])\n"
    )
    return [sys.executable, str(script)]


def run_made_up(body, folder):
    return subprocess.run(
        as_command(body, folder),
        cwd=folder,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextlib.contextmanager
def started(command, folder):
    """Start a process and leave none behind, however the test ends."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=os.environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.fixture
def taken_port():
    """Hold a port for as long as the test runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, tmp_path):
    ended = overnight(name, "--help", folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"Usage: overnight {name} ")


def test_the_sandbox_explains_each_of_its_faults(tmp_path):
    told = overnight("sandbox", "--help", folder=tmp_path).stdout.partition("Faults:\n")[2]
    assert [line.split()[0] for line in told.splitlines()] == list(faults.MEANINGS)


def test_every_command_that_exists_is_listed():
    there = {path.stem for path in (ROOT / "overnight" / "commands").glob("[!_]*.py")}
    assert there == set(COMMANDS)


def test_help_lists_every_command_in_its_order(tmp_path):
    help_text = overnight("--help", folder=tmp_path).stdout
    listed = [line.split()[0] for line in help_text.splitlines() if line.startswith("  ") and line.strip()]
    assert [word for word in listed if word in COMMANDS] == COMMANDS


def test_help_and_version_load_nothing_heavy(tmp_path):
    code = (
        "import sys\n"
        "from overnight import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "finally: print(*sys.modules, file=sys.stderr)\n"
    )
    heavy = {"PIL", "alembic", "celery", "httpx", "rich", "sqlalchemy", "structlog"}
    for asked in ("--help", "--version", "status --help", "quota --help", "run --help"):
        ended = subprocess.run(
            [sys.executable, "-c", code, *asked.split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        loaded = {name.partition(".")[0] for name in ended.stderr.split()}
        assert "click" in loaded
        assert not loaded & (heavy if " " in asked else heavy | {"pydantic"})


def test_an_unknown_command_names_the_nearest_one_and_ends_with_2(tmp_path):
    ended = overnight("rnu", "manifest.csv", folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Did you mean 'run'?" in ended.stderr


def test_an_unknown_option_ends_with_2(tmp_path):
    assert overnight("example", "--jsn", folder=tmp_path).returncode == 2


def test_no_command_at_all_shows_the_help_and_ends_with_2(tmp_path):
    ended = overnight(folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "manifest.csv" in ended.stderr


def test_mistakes_in_settings_end_with_2_and_one_line_each(tmp_path):
    ended = overnight("db", "check", folder=tmp_path, OVERNIGHT_LEASE="abc", OVERNIGHT_COLOUR="red")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines() == [
        "overnight: OVERNIGHT_COLOUR: no such setting",
        'overnight: OVERNIGHT_LEASE: "abc" is no duration; write 60s, 5m or 1h',
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code"), [("Mistake", 2), ("Mistakes", 2), ("Unavailable", 69), ("Halted", 75)]
)
def test_an_error_with_a_sentence_is_that_sentence_and_its_code(error, code, tmp_path):
    body = f"""
@click.command()
def command():
    raise errors.{error}(["row 3: bad\\x1b[2J"] if "{error}" == "Mistakes" else "row 3: bad\\x1b[2J")
"""
    ended = run_made_up(body, tmp_path)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr == "overnight: row 3: bad\\x1b[2J\n"


def test_what_a_command_returns_is_the_exit_code(tmp_path):
    body = """
@click.command()
def command():
    return exits.Exit.SOME_FAILED
"""
    assert run_made_up(body, tmp_path).returncode == 1


BUG = """
@click.command()
@options.with_settings
def command(settings):
    return {}["nothing"]
"""


def test_a_bug_ends_with_70_one_line_and_its_traceback_in_the_log(tmp_path):
    ended = run_made_up(BUG, tmp_path)
    log = tmp_path / "overnight.log"
    assert (ended.returncode, ended.stdout) == (70, "")
    assert ended.stderr == f"overnight: a bug: KeyError: 'nothing' (traceback: {log})\n"
    assert "Traceback (most recent call last)" in log.read_text()


def test_a_bug_before_the_settings_are_read_is_kept_in_the_current_folder(tmp_path):
    ended = run_made_up(BUG.replace("@options.with_settings", "@click.option('--settings')"), tmp_path)
    assert ended.returncode == 70
    assert "KeyError" in (tmp_path / "overnight.log").read_text()


def test_a_bug_whose_traceback_cannot_be_kept_is_shown(tmp_path):
    (tmp_path / "overnight.log").mkdir()
    ended = run_made_up(BUG, tmp_path)
    assert ended.returncode == 70
    assert "Traceback (most recent call last)" in ended.stderr
    assert ended.stderr.endswith("(traceback: above)\n")


def test_ctrl_c_ends_with_130_and_without_a_traceback(tmp_path):
    body = """
@click.command()
def command():
    print("ready", flush=True)
    sys.stdin.read()
"""
    with started(as_command(body, tmp_path), tmp_path) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=60) == 130
        assert child.stderr.read().strip() == "overnight: interrupted"


def test_a_question_that_nobody_answers_ends_with_130(tmp_path):
    body = """
@click.command()
def command():
    click.confirm("Buy 1,001 jobs?", abort=True)
"""
    ended = subprocess.run(
        as_command(body, tmp_path), cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert ended.returncode == 130


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path):
    body = """
@click.command()
def command():
    for number in range(100_000):
        print("job", number)
"""
    with started(as_command(body, tmp_path), tmp_path) as child:
        assert child.stdout.readline() == "job 0\n"
        child.stdout.close()
        assert child.wait(timeout=60) == 0
        assert child.stderr.read() == ""


def test_a_reader_that_has_seen_enough_leaves_the_exit_code_as_it_is(tmp_path):
    body = """
@click.command()
def command():
    print("summary")
    return exits.Exit.SOME_FAILED
"""
    reader, writer = os.pipe()
    os.close(reader)
    ended = in_shell(as_command(body, tmp_path), tmp_path, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize("typed", ["example", "example --yaml"])
def test_a_full_disk_behind_the_output_is_no_bug(typed, tmp_path):
    command = [sys.executable, "-m", "overnight", *typed.split()]
    ended = in_shell(command, tmp_path, ">/dev/full", stderr=subprocess.PIPE)
    assert ended.returncode == 69
    assert (
        ended.stderr
        == b"overnight: the output cannot be written: No space left on device; send it elsewhere\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_breaks_is_not_taken_for_a_reader_that_left(tmp_path):
    body = """
@click.command()
def command():
    raise BrokenPipeError(32, "Broken pipe")
"""
    ended = run_made_up(body, tmp_path)
    assert ended.returncode == 69
    assert ended.stderr == "overnight: a connection broke off; run the same command again\n"


@pytest.mark.parametrize(("typed", "suffix"), [((), ".csv"), (("--yaml",), ".yaml")])
def test_the_example_is_a_manifest_on_stdout(typed, suffix, tmp_path):
    ended = overnight("example", *typed, folder=tmp_path)
    assert ended.returncode == 0
    assert ended.stdout == (ROOT / "jobs/examples" / f"sketch-mountains{suffix}").read_text("utf-8")
    assert list(tmp_path.iterdir()) == []


def test_the_example_in_a_folder_has_its_pictures_and_never_overwrites(tmp_path):
    (tmp_path / "a rehearsal").mkdir()
    first = overnight("example", "a rehearsal", folder=tmp_path)
    assert (first.returncode, first.stdout) == (0, "")
    copied = tmp_path / "a rehearsal"
    assert (copied / "sketch-mountains.csv").is_file()
    assert first.stderr == "Type next: overnight run 'a rehearsal/sketch-mountains.csv' --api sandbox\n"
    assert {p.name for p in (copied / "images").iterdir()} == {
        p.name for p in (ROOT / "jobs/examples/images").iterdir()
    }
    (copied / "sketch-mountains.csv").write_text("mine")
    again = overnight("example", "a rehearsal", folder=tmp_path)
    assert again.returncode == 2
    assert (copied / "sketch-mountains.csv").read_text() == "mine"


def test_the_example_does_not_go_among_a_persons_own_files(tmp_path):
    mine = tmp_path / "holidays.png"
    mine.touch()
    ended = overnight("example", ".", folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (2, "overnight: . is not empty; name a new folder\n")
    assert list(tmp_path.iterdir()) == [mine]


def test_the_sandbox_refuses_a_fault_it_does_not_know(tmp_path):
    ended = overnight("sandbox", "--port", "0", "--fault", "nonsense=0.1", folder=tmp_path)
    assert ended.returncode == 2
    assert "exec_and_drop" in ended.stderr


def test_the_sandbox_says_where_it_listens_and_ends_when_asked(tmp_path):
    with started([sys.executable, "-m", "overnight", "sandbox", "--port", "0"], tmp_path) as child:
        url = child.stdout.readline().split()[-1]
        assert httpx.get(f"{url}/predictions").status_code == 401
        child.terminate()
        assert child.wait(timeout=60) == 0
        assert child.stderr.read() == ""


def test_a_port_that_is_taken_ends_with_69(tmp_path, taken_port):
    ended = overnight("sandbox", "--port", str(taken_port), folder=tmp_path)
    assert ended.returncode == 69
    where = f"127.0.0.1:{taken_port}: Address already in use; choose another --host or --port"
    assert ended.stderr == f"overnight: sandbox: {where}\n"


@pytest.mark.parametrize("verb", ["status", "quota", "jobs", "doctor", "db check"])
@pytest.mark.parametrize("options", ["--api sandbox", "--database 'sqlite:///a b.db'"])
def test_where_there_is_no_database_the_command_that_makes_one_has_the_options_that_were_typed(
    verb, options, tmp_path
):
    ended = overnight(*verb.split(), *shlex.split(options), folder=tmp_path)
    assert f"`overnight run MANIFEST {options}`" in ended.stdout + ended.stderr


def test_what_to_type_where_nothing_was_loaded_yet_has_the_options_that_were_typed(tmp_path):
    options = ("--api", "sandbox")
    overnight("db", "upgrade", *options, folder=tmp_path)
    said = {
        "overnight run MANIFEST --api sandbox": ("status",),
        "`overnight run MANIFEST --api sandbox`": ("quota",),
        "`overnight jobs --api sandbox`": ("show", "x"),
        "overnight export BATCH --manifest --api sandbox": ("export", "--manifest"),
    }
    for command, typed in said.items():
        assert command in overnight(*typed, *options, folder=tmp_path).stderr


def in_shell(command, folder, streams="", **options):
    """Run a command with its streams as a shell sets them; buffered, as they are for most people."""
    typed = f"{shlex.join(command)} {streams}"
    env = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(["sh", "-c", typed], cwd=folder, env=env, timeout=60, check=False, **options)


def test_a_stream_that_is_closed_leaves_its_number_to_no_file(tmp_path):
    body = """
@click.command()
def command():
    with open("database", "wb", buffering=0) as database:
        click.echo("12 jobs", err=True)
        click.echo("data")
        assert database.fileno() > 2
"""
    assert in_shell(as_command(body, tmp_path), tmp_path, "<&- >&- 2>&-").returncode == 0
    assert (tmp_path / "database").read_bytes() == b""


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_words_that_could_not_be_said_leave_the_exit_code_as_it_is(tmp_path):
    body = """
@click.command()
def command():
    raise errors.Mistake("nobody hears this")
"""
    ended = in_shell(as_command(body, tmp_path), tmp_path, "2>/dev/full")
    assert ended.returncode == 2
