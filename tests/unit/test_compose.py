"""The compose file holds what it promises. No engine reads it here; its text is judged."""

import re
from pathlib import Path

import pytest
import yaml

from jobs import settings
from overnight import cli

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
FILE = yaml.safe_load(TEXT)
SERVICES = FILE["services"]
OURS = ["migrate", "scheduler", "worker", "cli"]
LASTING = ["postgres", "redis", "scheduler", "worker"]
DOCKERFILE = SERVICES["migrate"]["build"]["dockerfile_inline"].splitlines()
EXAMPLE = [
    line.partition("=")[0]
    for line in (ROOT / ".env.example").read_text("utf-8").splitlines()
    if "=" in line and not line.startswith("#")
]


def whole(table):
    """Return a table of services, so that each has a test of its own."""
    return pytest.mark.parametrize("service", [SERVICES[name] for name in table], ids=table)


def test_the_services_are_those_of_a_distributed_installation():
    assert list(SERVICES) == ["postgres", "redis", *OURS]


@whole(SERVICES)
def test_every_service_is_an_image_of_a_named_version_or_the_one_that_is_built_here(service):
    assert re.fullmatch(r"(postgres|redis):\d+|overnight", service["image"])


@whole(SERVICES)
def test_no_service_is_reachable_from_outside_or_may_more_than_it_must(service):
    assert not service.keys() & {"ports", "privileged", "cap_add", "network_mode", "devices"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True


@whole(SERVICES)
def test_no_service_is_root(service):
    user = re.sub(r"\$\{RUN_AS:-(.*)\}", r"\1", service["user"])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


@whole(LASTING)
def test_what_lasts_is_restarted_and_its_health_is_looked_at(service):
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


def test_one_service_builds_the_image_and_no_other_builds_or_pulls_it():
    assert [name for name in SERVICES if "build" in SERVICES[name]] == ["migrate"]
    assert {SERVICES[name]["pull_policy"] for name in OURS} == {"never"}


def test_an_upgrade_that_failed_is_told_to_what_waits_for_it():
    assert "restart" not in SERVICES["migrate"]


@whole(OURS)
def test_every_command_of_ours_exists(service):
    typed = [service.get("command"), service.get("healthcheck", {}).get("test", [])[2:]]
    known = {name for section in cli.SECTIONS.values() for name in section}
    assert {words[0] for words in typed if words} <= known


def test_a_worker_and_a_scheduler_are_judged_by_the_work_and_not_by_an_answer():
    for name in ("worker", "scheduler"):
        assert SERVICES[name]["healthcheck"]["test"] == ["CMD", "overnight", name, "--probe"]


def test_redis_keeps_nothing_and_drops_nothing():
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--maxmemory-policy"] == "noeviction"
    assert (options["--save"], options["--appendonly"]) == ("", "no")


def test_the_database_survives_its_container():
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert "postgres" in FILE["volumes"]


@whole(OURS)
def test_manifests_and_images_are_at_equal_paths_in_every_container(service):
    assert service["volumes"] == ["./manifests:/work/manifests:ro", "./outputs:/work/outputs"]
    assert service["environment"]["OVERNIGHT_OUTPUT"] == "/work/outputs"
    assert "WORKDIR /work" in DOCKERFILE


@whole(OURS)
def test_every_setting_of_the_env_file_reaches_every_container(service):
    assert service["env_file"] == [".env"]


def test_the_settings_that_are_named_exist():
    named = set(re.findall(r"\bOVERNIGHT_[A-Z_]+", TEXT)) | {
        name for name in EXAMPLE if name.startswith("OVERNIGHT_")
    }
    assert named
    assert named <= settings.variables().keys()


def test_what_only_compose_reads_is_in_the_example():
    assert set(re.findall(r"\$\{(\w+)", TEXT)) <= set(EXAMPLE)


def test_the_urls_are_taken_by_the_settings(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, text in SERVICES["worker"]["environment"].items():
        monkeypatch.setenv(name, text)
    chosen = settings.load()
    assert chosen.database_url == "postgresql+psycopg://overnight@postgres:5432/overnight"
    assert chosen.broker_url == "redis://redis:6379/0"


def test_nothing_starts_before_what_it_needs():
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("scheduler", "worker", "cli"):
        assert SERVICES[name]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "redis": {"condition": "service_healthy"},
        }


def test_a_worker_has_time_to_end_what_it_has_begun():
    untouched = settings.Settings(_env_file=None).times
    grace = SERVICES["worker"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= untouched.lease / 2 + untouched.post_deadline


def test_the_image_is_built_from_the_lock_and_runs_our_command():
    assert any("--require-hashes --no-deps -r requirements.lock" in line for line in DOCKERFILE)
    assert DOCKERFILE[-1] == 'ENTRYPOINT ["overnight"]'
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    for needed in ("hatchling==", "psycopg-binary=="):
        assert f"\n{needed}" in lock, "installed without build isolation, and with PostgreSQL"
