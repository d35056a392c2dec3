"""Settings as a person writes them: in the environment, in .env, on the command line."""

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import errors, settings
from jobs.settings import cautions, tokens, written


@pytest.fixture(autouse=True)
def _bare_folder(tmp_path, monkeypatch):
    """Run in an empty folder, without a `.env`."""
    monkeypatch.chdir(tmp_path)


def mistakes(**typed):
    with pytest.raises(errors.Mistakes) as caught:
        settings.load(**typed)
    return list(caught.value.lines)


def test_unless_told_otherwise_everything_lies_in_the_current_folder(tmp_path):
    untouched = settings.load()
    assert untouched.database_path == tmp_path / "overnight.db"
    assert untouched.output == tmp_path / "outputs"
    assert untouched.log_path == tmp_path / "overnight.log"


def test_a_current_folder_that_was_removed_is_a_mistake(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(errors.Mistake, match="the current folder is not there any more"):
        settings.load()


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        settings.load().lease = 3


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("OVERNIGHT_LEASE=70s\nOVERNIGHT_SETTLE=5m\nOVERNIGHT_API_URL=replicate\n")
    monkeypatch.setenv("OVERNIGHT_LEASE", "80s")
    monkeypatch.setenv("OVERNIGHT_OUTPUT", "a")
    chosen = settings.load(output="b")
    assert (chosen.lease, chosen.settle, chosen.output) == (80, 300, tmp_path / "b")
    assert chosen.api.name == "replicate"


def test_every_mistake_is_told_at_once_under_the_name_it_was_written_by(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_LEASE", "abc")
    monkeypatch.setenv("OVERNIGHT_PRICE", "0,0093")
    monkeypatch.setenv("OVERNIGHT_MAX_IN_FLIGHT", "0")
    assert mistakes(api="quickruter", when_unconfirmed="maybe") == [
        "--api: not an API; write sandbox, quickrouter, replicate or an https:// URL",
        'OVERNIGHT_MAX_IN_FLIGHT: "0" is no whole number from 1 to 999999999',
        'OVERNIGHT_LEASE: "abc" is no duration; write 60s, 5m or 1h',
        'OVERNIGHT_PRICE: "0,0093" is no price; write the cost of one job with a point, as in 0.0093',
        '--when-unconfirmed: "maybe" is no choice; write resubmit or hold',
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OVERNIGHT_SETTLE", "0"),
        ("OVERNIGHT_SETTLE", "-5s"),
        ("OVERNIGHT_PREDICTION_DEADLINE", "1h 30m"),
        ("OVERNIGHT_PREDICTION_DEADLINE", "1h30"),
        ("OVERNIGHT_MAX_ATTEMPTS", "three"),
        ("OVERNIGHT_CREATES_PER_MINUTE", "0"),
        ("OVERNIGHT_READS_PER_MINUTE", "1e3"),
        ("OVERNIGHT_PRICE", "nan"),
        ("OVERNIGHT_PRICE", "-1"),
        ("OVERNIGHT_TIME_SCALE", "0"),
        ("OVERNIGHT_TIME_SCALE", "Infinity"),
        ("OVERNIGHT_WHEN_UNCONFIRMED", "Hold"),
        ("OVERNIGHT_OUTPUT", "bad\0name"),
    ],
)
def test_a_value_that_makes_no_sense_is_one_line_with_its_name(name, text, tmp_path, monkeypatch):
    if "\0" in text:  # no environment can hold it, a file can
        (tmp_path / ".env").write_text(f"{name}={text}\n")
    else:
        monkeypatch.setenv(name, text)
    [line] = mistakes()
    assert line.removeprefix(f"{tmp_path}/.env:1: ").startswith(f"{name}: ")


def test_a_misspelt_setting_is_a_mistake_with_the_nearest_name(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("OVERNIGHT_MAX_IN_FLIGT=3\nPOSTGRES_PASSWORD=x\n")
    monkeypatch.setenv("OVERNIGHT_COLOUR", "red")
    assert mistakes() == [
        "OVERNIGHT_COLOUR: no such setting",
        f"{tmp_path}/.env:1: OVERNIGHT_MAX_IN_FLIGT: no such setting; did you mean OVERNIGHT_MAX_IN_FLIGHT?",
    ]


def test_a_mistake_in_the_file_has_its_line_unless_the_environment_has_set_the_same(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("\nexport OVERNIGHT_PRICE=x\novernight_lease=soon\nOVERNIGHT_SETTLE=y\n")
    monkeypatch.setenv("OVERNIGHT_SETTLE", "later")
    monkeypatch.setenv("OVERNIGHT_PRICE", "")  # as good as none
    assert [line.partition('"')[0] for line in mistakes()] == [
        f"{tmp_path}/.env:3: OVERNIGHT_LEASE: ",
        "OVERNIGHT_SETTLE: ",
        f"{tmp_path}/.env:2: OVERNIGHT_PRICE: ",
    ]


def test_a_name_without_a_value_in_the_file_is_a_mistake(tmp_path):
    (tmp_path / ".env").write_text("OVERNIGHT_LEASE\n")
    assert mistakes() == [f"{tmp_path}/.env:1: OVERNIGHT_LEASE: no value; write OVERNIGHT_LEASE=…"]


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_BROKER_URL", "")
    assert settings.load().broker_url is None


@pytest.mark.parametrize(
    ("text", "line", "amiss"),
    [
        ("OVERNIGHT_CREATES_PER_MINUTE='60\n", 1, "has a quote that is not closed, or text after it"),
        ('A=1\n\n\nOVERNIGHT_API_TOKEN="hush" hush\n', 4, "has a quote that is not closed, or text after it"),
        ("A=1\n# hush\nexport OVERNIGHT_API_TOKEN: hush\n", 3, "is not of the form NAME=VALUE"),
    ],
)
def test_a_line_of_the_file_that_cannot_be_parsed_is_told_without_its_value(
    tmp_path, text, line, amiss, caplog
):
    (tmp_path / ".env").write_text(text)
    (told,) = mistakes()
    assert told.startswith(f"{tmp_path}/.env:{line}: {amiss}; write ")
    assert "hush" not in told + caplog.text


def test_a_file_that_is_no_text_is_a_mistake(tmp_path):
    (tmp_path / ".env").write_bytes(b"OVERNIGHT_LEASE=\xff\n")
    with pytest.raises(errors.Mistake, match=r"\.env: is not UTF-8; save it as UTF-8"):
        settings.load()


def test_rates_may_be_unlimited(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_CREATES_PER_MINUTE", "unlimited")
    assert settings.load().creates_per_minute is None


def test_a_deadline_must_end_before_the_lease_and_the_lease_before_the_settle_time(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_POST_DEADLINE", "60s")
    monkeypatch.setenv("OVERNIGHT_SETTLE", "1m")
    assert mistakes() == ["OVERNIGHT_LEASE: 1m must be longer than OVERNIGHT_POST_DEADLINE, 1m"]
    monkeypatch.delenv("OVERNIGHT_POST_DEADLINE")
    assert mistakes() == ["OVERNIGHT_SETTLE: 1m must be longer than OVERNIGHT_LEASE, 1m"]


def test_one_factor_scales_every_time_and_leaves_the_settings_as_written(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_TIME_SCALE", "0.05")
    monkeypatch.setenv("OVERNIGHT_SETTLE", "200s")
    scaled = settings.load()
    assert scaled.settle == 200
    assert scaled.times.settle == pytest.approx(10)
    assert scaled.times.proof_window == pytest.approx(150)
    assert scaled.times.canary == pytest.approx(1.5)


def test_a_relative_output_starts_at_the_database_and_not_at_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_OUTPUT", "pictures")
    assert settings.load(database="sqlite:///nights/a.db").output == tmp_path / "nights" / "pictures"
    assert settings.load(database="postgresql://db/a").output == tmp_path / "pictures"
    assert settings.load(output="/srv/pictures").output.is_absolute()


@pytest.mark.parametrize(
    "text", ["postgres://me@db/a", "postgresql://me@db/a", "postgresql+psycopg://me@db/a"]
)
def test_postgresql_is_reached_by_psycopg_however_its_url_begins(text):
    assert settings.load(database=text).database_url == "postgresql+psycopg://me@db/a"
    assert settings.load(database=text).database_path is None


@pytest.mark.parametrize(
    "text",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///a.db?mode=ro",
        "overnight.db",
        "mysql://me:hunter2@db/a",
        "postgresql+asyncpg://me:hunter2@db/a",
        "postgresql://me:hunter2@db:port/a",
    ],
)
def test_a_database_we_cannot_use_is_a_mistake_that_keeps_the_password(text):
    [line] = mistakes(database=text)
    assert line.startswith("--database: ")
    assert "hunter2" not in line


def test_postgresql_without_its_driver_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert mistakes(database="postgresql://db/a") == [
        "--database: PostgreSQL needs psycopg; install overnight with its extra, as pip install '.[postgres]'"
    ]


def test_a_broker_needs_a_database_that_several_hosts_can_write(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_BROKER_URL", "redis://broker:6379/0")
    assert settings.load(database="postgresql://db/a").broker_url == "redis://broker:6379/0"
    [line] = mistakes()
    assert line.startswith("OVERNIGHT_BROKER_URL: ")
    assert "PostgreSQL" in line


def test_a_rehearsal_has_no_broker_and_no_server(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_BROKER_URL", "redis://broker:6379/0")
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", "postgresql://db/a")
    [line] = mistakes(api="sandbox", database="postgresql://db/a")
    assert line.startswith("--database: ")
    assert line.endswith("add --database sqlite:///overnight-sandbox.db")
    assert settings.load(api="sandbox", database="sqlite:///overnight-sandbox.db").broker_url is None


def test_another_broker_than_redis_is_a_mistake(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_BROKER_URL", "amqp://me:hunter2@broker")
    [line] = mistakes(database="postgresql://db/a")
    assert line == "OVERNIGHT_BROKER_URL: no Redis URL; write redis://HOST:6379/0"


def test_passwords_are_in_no_printed_form(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_BROKER_URL", "redis://:hunter2@broker")
    monkeypatch.setenv("OVERNIGHT_API_TOKEN", "hunter2")
    assert "hunter2" not in repr(settings.load(database="postgresql://me:hunter2@db/a"))


@pytest.mark.parametrize(
    ("text", "url", "name"),
    [
        ("quickrouter", "https://api.quickrouter.ai/replicate/v1", "quickrouter"),
        ("replicate", "https://api.replicate.com/v1", "replicate"),
        ("https://api.replicate.com/v1/", "https://api.replicate.com/v1", "replicate"),
        ("https://gateway.example/replicate/v1/", "https://gateway.example/replicate/v1", "gateway.example"),
        ("http://127.0.0.1:8500/v1", "http://127.0.0.1:8500/v1", "127.0.0.1"),
        ("http://[::1]:8500/v1", "http://[::1]:8500/v1", "::1"),
        ("http://localhost/v1", "http://localhost/v1", "localhost"),
    ],
)
def test_an_api_is_a_preset_or_a_url_without_its_last_slash(text, url, name):
    chosen = settings.load(api=text)
    assert (chosen.api.url, chosen.api.name) == (url, name)


@pytest.mark.parametrize(
    "text",
    [
        "http://gateway.example/v1",
        "http://127.0.0.1.example/v1",
        "https://me:hunter2@gateway.example/v1",
        "https://gateway.example/v1?key=hunter2",
        "https://gateway.example/v1#hunter2",
        "https://gateway.example:port/v1",
        "https://gate way.example/v1",
        "ftp://gateway.example",
        "https://",
        "r8_hunter2",
    ],
)
def test_a_url_unfit_to_carry_a_token_is_a_mistake_that_does_not_repeat_it(text):
    [line] = mistakes(api=text)
    assert line.startswith("--api: ")
    assert "hunter2" not in line


def test_a_rehearsal_has_a_token_a_database_and_outputs_of_its_own(tmp_path):
    rehearsal = settings.load(api="sandbox")
    assert rehearsal.database_path == tmp_path / "overnight-sandbox.db"
    assert rehearsal.output == tmp_path / "outputs-sandbox"
    assert rehearsal.require_token() == tokens.MADE_UP
    assert rehearsal.at("http://127.0.0.1:8500/v1").api.url == "http://127.0.0.1:8500/v1"
    assert rehearsal.at("http://127.0.0.1:8500/v1").api.name == "sandbox"


def test_a_rehearsal_that_is_typed_leaves_the_real_database_and_outputs_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", "sqlite:///real.db")
    monkeypatch.setenv("OVERNIGHT_OUTPUT", "real")
    rehearsal = settings.load(api="sandbox")
    assert rehearsal.database_path == tmp_path / "overnight-sandbox.db"
    assert rehearsal.output == tmp_path / "outputs-sandbox"
    monkeypatch.setenv("OVERNIGHT_API_URL", "sandbox")
    assert settings.load().database_path == tmp_path / "real.db"  # set together, and meant together


def test_a_rehearsal_uses_a_database_that_was_named(tmp_path):
    rehearsal = settings.load(api="sandbox", database="sqlite:///mine.db", output="here")
    assert (rehearsal.database_path, rehearsal.output) == (tmp_path / "mine.db", tmp_path / "here")


def test_a_rehearsal_never_gets_a_real_token(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_API_TOKEN", "real")
    assert settings.load(api="sandbox").require_token() == tokens.MADE_UP


def test_our_token_serves_whatever_api_is_named(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_API_TOKEN", "own")
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_theirs")
    assert settings.load().require_token().get_secret_value() == "own"
    assert settings.load(api="replicate").require_token().get_secret_value() == "own"


def test_replicates_variable_serves_replicate_alone(monkeypatch):
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_theirs")
    assert settings.load(api="replicate").require_token().get_secret_value() == "r8_theirs"
    assert settings.load().token is None
    assert settings.load(api="http://127.0.0.1/v1").token is None


def test_a_replicate_token_goes_to_no_other_host(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_API_TOKEN", "r8_theirs")
    stranger = settings.load(api="https://api.replicate.com.example/v1")
    assert stranger.token is None
    with pytest.raises(errors.Mistake) as caught:
        stranger.require_token()
    assert "--api replicate" in str(caught.value)
    assert "r8_theirs" not in str(caught.value)
    assert settings.load(api="http://127.0.0.1:8500/v1").token is not None


def test_without_a_token_one_is_told_what_to_set():
    with pytest.raises(errors.Mistake, match=r"OVERNIGHT_API_TOKEN.*--api sandbox"):
        settings.load().require_token()


@pytest.mark.parametrize("text", ["two words", "new\nline", "tab\there", "schlüssel"])
def test_a_token_unfit_for_a_header_is_refused_unseen(text, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_API_TOKEN", text)
    [line] = mistakes()
    assert line == "OVERNIGHT_API_TOKEN: a token has no spaces, no line ends and no letters outside ASCII"


def test_a_home_that_is_nobodys_is_one_line_with_the_settings_name(monkeypatch):
    told = '"~nobody-of-ours" is no user\'s home here; write the whole path, as /home/…'
    monkeypatch.setenv("OVERNIGHT_API_TOKEN_FILE", "~nobody-of-ours/token")
    assert mistakes(database="sqlite:///~nobody-of-ours/x.db", output="~nobody-of-ours/x") == [
        f"--database: {told}",
        f"--output: {told}",
        f"OVERNIGHT_API_TOKEN_FILE: {told}",
    ]


def test_a_folder_that_is_a_link_to_itself_is_a_mistake_or_left_to_who_opens_it(tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setenv("OVERNIGHT_OUTPUT", "loop")
    if sys.version_info < (3, 13):
        assert mistakes() == [f"OVERNIGHT_OUTPUT: {tmp_path / 'loop'} is a link that leads back to itself"]
    else:
        assert settings.load().output == tmp_path / "loop"


def test_a_token_file_gives_its_first_line(tmp_path, monkeypatch):
    kept = tmp_path / "token"
    kept.write_text("own\nzweite Zeile für später\n")
    kept.chmod(0o600)
    monkeypatch.setenv("OVERNIGHT_API_TOKEN_FILE", "token")
    chosen = settings.load()
    assert chosen.require_token().get_secret_value() == "own"
    assert chosen.secrets == ("own",)
    assert cautions.of(chosen) == []
    kept.chmod(0o644)
    assert cautions.of(chosen) == [f"every user of this machine can read the token; type: chmod 600 {kept}"]


def test_a_token_may_come_out_of_a_pipe_and_is_read_once(monkeypatch):
    """As from a shell's `<(pass show overnight)`."""
    ours, theirs = os.pipe()
    os.write(theirs, b"own\nsecond line\n")
    os.close(theirs)
    monkeypatch.setenv("OVERNIGHT_API_TOKEN_FILE", f"/dev/fd/{ours}")
    chosen = settings.load()
    assert chosen.require_credentials()[0].token.get_secret_value() == "own"
    assert cautions.of(chosen) == []
    os.close(ours)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe", b"t" * 4097])
def test_a_token_file_that_gives_no_token_is_a_mistake(content, tmp_path, monkeypatch):
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    monkeypatch.setenv("OVERNIGHT_API_TOKEN_FILE", "token")
    [line] = mistakes()
    assert line.startswith("OVERNIGHT_API_TOKEN_FILE: ")


def test_a_token_and_a_token_file_at_once_are_a_mistake(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_API_TOKEN", "own")
    monkeypatch.setenv("OVERNIGHT_API_TOKEN_FILE", "token")
    [line] = mistakes()
    assert line.startswith("OVERNIGHT_API_TOKEN_FILE: ")


@pytest.mark.parametrize(
    "text",
    [
        "https://me.example/ended",
        "https://me.example:8443/ended?of=overnight",
        "http://127.0.0.1:8600/",
        "http://[::1]:8600/",
        "http://localhost/ended",
    ],
)
def test_a_webhook_is_called_by_https_or_on_this_machine(text, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_WEBHOOK_URL", f" {text} ")
    assert settings.load().webhook_url == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://me.example/ended", "write https://"),
        ("http://127.0.0.1.me.example/ended", "write https://"),
        ("ftp://me.example/ended", "no URL that can be called"),
        ("me.example", "no URL that can be called"),
        ("https://", "no URL that can be called"),
        ("https://me:canary@me.example/", "no user, no password"),
        ("https://me.example/#part", "no user, no password"),
        ("https://me.example/my ended", "no spaces"),
        ("https://mé.example/", "no letters outside ASCII"),
        ("https://me.example:port/", "cannot be read"),
        ("whsec_canary", "no URL that can be called"),
    ],
)
def test_a_webhook_that_cannot_be_called_is_a_mistake(text, words, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_WEBHOOK_URL", text)
    [line] = mistakes()
    assert line.startswith("OVERNIGHT_WEBHOOK_URL: ")
    assert words in line
    assert "canary" not in line


def test_a_webhook_on_this_machine_is_no_use_to_an_api_elsewhere(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_WEBHOOK_URL", "http://127.0.0.1:8600/")
    assert cautions.of(settings.load(api="http://127.0.0.1:8500/v1")) == []
    [line] = cautions.of(settings.load(api="replicate"))
    assert line == "OVERNIGHT_WEBHOOK_URL is on this machine, where api.replicate.com cannot call it"


def test_a_time_scale_for_rehearsals_is_warned_of_before_a_purchase_at_a_real_api(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_TIME_SCALE", "0.05")
    assert cautions.of(settings.load(api="http://127.0.0.1:8500/v1")) == []
    [line] = cautions.of(settings.load(api="replicate"))
    assert line.startswith("OVERNIGHT_TIME_SCALE is 0.05, which is for rehearsals")


def test_a_webhook_secret_is_kept_out_of_sight(monkeypatch):
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    monkeypatch.setenv("OVERNIGHT_WEBHOOK_SECRET", secret)
    chosen = settings.load()
    assert chosen.require_webhook_secret().get_secret_value() == secret
    assert chosen.secrets == (secret,)
    assert secret not in f"{chosen!r} {chosen}"
    monkeypatch.setenv("OVERNIGHT_WEBHOOK_SECRET", "canary")
    [line] = mistakes()
    assert line.startswith("OVERNIGHT_WEBHOOK_SECRET: a webhook secret begins with whsec_")
    assert "canary" not in line


@pytest.mark.parametrize("text", [None, ""])
def test_without_a_webhook_secret_one_is_told_what_to_set(text, monkeypatch):
    if text is not None:
        monkeypatch.setenv("OVERNIGHT_WEBHOOK_SECRET", text)
    with pytest.raises(errors.Mistake, match="set OVERNIGHT_WEBHOOK_SECRET"):
        settings.load().require_webhook_secret()


@given(st.integers(min_value=1, max_value=10**8))
def test_a_duration_is_read_as_it_is_written(seconds):
    assert written.duration(written.as_duration(seconds)) == seconds


@given(st.text())
def test_any_text_is_a_duration_or_one_sentence(text):
    try:
        assert written.duration(text) > 0
    except ValueError as error:
        assert "is no" in str(error)  # noqa: PT017  most texts are none, a few are
