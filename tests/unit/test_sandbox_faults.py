import pytest

from sandbox import faults, profiles
from sandbox.options import Options


def test_a_fault_is_parsed_from_what_a_person_types():
    assert faults.parse("exec_and_drop=0.05") == ("exec_and_drop", 0.05)
    assert faults.parse("402_after=1000") == ("402_after", 1000)
    assert faults.parse("redirect:loop=1") == ("redirect:loop", 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("exec_and_drpo=0.05", r"fault 'exec_and_drpo' is not known; the faults are .*exec_and_drop"),
        ("exec_and_drop", "not of the form NAME=SHARE"),
        ("exec_and_drop=lots", "not of the form NAME=SHARE"),
        ("exec_and_drop=5", "takes a share from 0 to 1, not 5"),
        ("exec_and_drop=-0.1", "takes a share from 0 to 1, not -0.1"),
        ("exec_and_drop=nan", "not of the form NAME=SHARE"),
        ("402_after=0.5", "takes a whole number"),
        ("402_after=inf", "takes a whole number"),
        ("outage:5xx=0.5", "takes a whole number"),
        ("redirect:sideways=0.5", "fault redirect has no kind 'sideways'; its kinds are: once, loop"),
        ("refuse:=0.5", "fault refuse has no kind ''; its kinds are: none"),
        ("redirect:loop", "not of the form NAME=SHARE"),
    ],
)
def test_a_fault_that_makes_no_sense_is_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        faults.parse(text)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("port", 70000),
        ("latency", -1),
        ("latency", float("nan")),
        ("create_seconds", -1),
        ("creates_per_minute", -5),
        ("lifetime", 0),
        ("output_size", 32),
        ("faults", {"gremlins": 1}),
        ("profile", "friendly"),
        ("wait", 0),
        ("lag", -1),
        ("low_credit", -1),
        ("outage", float("inf")),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(tmp_path, option, value):
    with pytest.raises(ValueError, match=r"\.$"):
        Options(state=tmp_path, **{option: value})


def test_what_is_asked_for_goes_before_what_the_profile_brings(tmp_path):
    options = Options(state=tmp_path, profile="hostile", faults={"late_exec": 0, "nsfw": 0.5})
    assert options.shares == {**profiles.PROFILES["hostile"].faults, "late_exec": 0, "nsfw": 0.5}


def test_every_profile_is_explained_and_brings_only_faults_that_exist():
    assert profiles.MEANINGS.keys() == profiles.PROFILES.keys()
    for profile in profiles.PROFILES.values():
        faults.check(profile.faults)


def test_every_fault_is_explained_once_and_every_kind_is_named_in_its_meaning():
    groups = (
        faults.BEFORE,
        faults.AFTER,
        faults.RUN,
        faults.TOLD,
        faults.SHOWN,
        faults.LACKING,
        faults.UPLOADED,
        faults.CALLED,
        faults.KEPT,
        faults.OUTPUT,
        faults.COUNTED,
    )
    assert sum(map(len, groups)) == len(faults.MEANINGS)
    for name, kinds in faults.KINDS.items():
        assert faults.MEANINGS[name].endswith(f": {name}:{'|'.join(kinds)}")
