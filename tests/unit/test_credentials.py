"""Several accounts, as a person names them: in the environment, in .env, in files."""

import pytest

from jobs import errors, settings
from jobs.settings import apis, buyers, cautions

MAIN = "OVERNIGHT_API_TOKEN_MAIN"
SPARE = "OVERNIGHT_API_TOKEN_SPARE"
FAR = "OVERNIGHT_API_TOKEN_FAR"


@pytest.fixture(autouse=True)
def _bare_folder(tmp_path, monkeypatch):
    """Run in an empty folder, without a `.env`."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def say(monkeypatch):
    def say(**variables):
        for name, text in variables.items():
            monkeypatch.setenv(name, text)

    return say


def mistakes(**typed):
    with pytest.raises(errors.Mistakes) as caught:
        settings.load(**typed)
    return list(caught.value.lines)


def held(chosen):
    return [(one.label, one.api.url, one.token.get_secret_value()) for one in chosen.require_credentials()]


def test_without_names_there_is_one_account_without_a_name(say):
    say(OVERNIGHT_API_TOKEN="own")
    assert held(settings.load(api="http://127.0.0.1/v1")) == [(None, "http://127.0.0.1/v1", "own")]


def test_each_account_has_its_own_token_and_if_it_says_so_its_own_api(say, tmp_path):
    kept = tmp_path / "second"
    kept.write_text("b\n")
    kept.chmod(0o600)
    say(OVERNIGHT_ACCOUNTS="main, spare-2", OVERNIGHT_API_TOKEN_FILE_SPARE_2="second")
    (tmp_path / ".env").write_text(f"{MAIN}=a\nOVERNIGHT_API_URL_SPARE_2=https://other.example/v1\n")
    chosen = settings.load(api="https://api.example/v1")
    assert held(chosen) == [
        ("main", "https://api.example/v1", "a"),
        ("spare-2", "https://other.example/v1", "b"),
    ]
    assert set(chosen.secrets) == {"a", "b"}
    assert cautions.of(chosen) == []
    kept.chmod(0o644)
    assert cautions.of(settings.load()) == [
        f"every user of this machine can read the token; type: chmod 600 {kept}"
    ]


def test_no_token_is_shown(say):
    say(OVERNIGHT_ACCOUNTS="main", OVERNIGHT_API_TOKEN_MAIN="own-secret-word")
    assert "own-secret-word" not in repr(settings.load())


def test_every_mistake_has_a_line_under_the_name_of_its_variable(say):
    say(
        OVERNIGHT_ACCOUNTS="main,spare,far,third,fourth",
        OVERNIGHT_API_TOKEN_MAIN="two words",
        OVERNIGHT_API_TOKEN_FAR="r8_theirs",
        OVERNIGHT_API_TOKEN_THIRD="own",
        OVERNIGHT_API_URL_THIRD="nowhere",
        OVERNIGHT_API_TOKEN_FOURTH="own",
        OVERNIGHT_API_TOKEN_FILE_FOURTH="file",
        OVERNIGHT_LEASE="abc",
    )
    assert mistakes(api="https://api.example/v1") == [
        'OVERNIGHT_LEASE: "abc" is no duration; write 60s, 5m or 1h',
        f"{MAIN}: a token has no spaces, no line ends and no letters outside ASCII",
        f"{SPARE}: no token for account spare; set it, or OVERNIGHT_API_TOKEN_FILE_SPARE",
        f"{FAR}: a Replicate token (r8_…) is not sent to api.example; set OVERNIGHT_API_URL_FAR=replicate",
        "OVERNIGHT_API_URL_THIRD: not an API; write sandbox, quickrouter, replicate or an https:// URL",
        "OVERNIGHT_API_TOKEN_FILE_FOURTH: OVERNIGHT_API_TOKEN_FOURTH is set as well; keep one of the two",
    ]


@pytest.mark.parametrize("name", ["Main", "a_b", "-a", "a--b", "ä", "any", "file", "file-2", "a,a"])
def test_a_name_that_would_be_another_variables_or_none_is_refused(name, say):
    say(OVERNIGHT_ACCOUNTS=name)
    [line] = mistakes()
    assert line.startswith("OVERNIGHT_ACCOUNTS: ")


def test_one_account_under_two_names_is_refused(say):
    say(OVERNIGHT_ACCOUNTS="main,spare", OVERNIGHT_API_TOKEN_MAIN="own", OVERNIGHT_API_TOKEN_SPARE="own")
    assert mistakes() == [f"{SPARE}: the same token as account main's, at the same API"]
    say(OVERNIGHT_API_URL_SPARE="https://other.example/v1")
    assert len(settings.load().accounts) == 2


def test_a_token_without_a_name_beside_accounts_with_one_is_refused(say):
    say(OVERNIGHT_ACCOUNTS="main", OVERNIGHT_API_TOKEN_MAIN="a", OVERNIGHT_API_TOKEN="b")
    assert mistakes() == [
        "OVERNIGHT_ACCOUNTS: OVERNIGHT_API_TOKEN is set as well, and no account's; give it a name here, too"
    ]


def test_the_token_of_an_account_that_is_not_named_is_told(say):
    say(OVERNIGHT_API_TOKEN_MAIN="a")
    assert mistakes() == [f"{MAIN}: no such setting; if it is an account's, name main in OVERNIGHT_ACCOUNTS"]
    say(OVERNIGHT_ACCOUNTS="main", OVERNIGHT_API_TOKEN_MIAN="a")
    assert mistakes() == [f"OVERNIGHT_API_TOKEN_MIAN: no such setting; did you mean {MAIN}?"]


def test_a_rehearsal_has_the_same_accounts_and_none_of_their_tokens(say):
    say(
        OVERNIGHT_ACCOUNTS="main,spare",
        OVERNIGHT_API_TOKEN_MAIN="real",
        OVERNIGHT_API_TOKEN_SPARE="real-too",
        OVERNIGHT_API_URL_SPARE="https://other.example/v1",
    )
    rehearsal = settings.load(api="sandbox").at("http://127.0.0.1:8500/v1")
    assert [(label, url) for label, url, _ in held(rehearsal)] == [
        ("main", "http://127.0.0.1:8500/v1"),
        ("spare", "http://127.0.0.1:8500/v1"),
    ]
    assert not {"real", "real-too"} & {token for _, _, token in held(rehearsal)}


# Which of them buys


@pytest.fixture
def two(say):
    say(
        OVERNIGHT_ACCOUNTS="main,spare,far",
        OVERNIGHT_API_TOKEN_MAIN="a",
        OVERNIGHT_API_TOKEN_SPARE="b",
        OVERNIGHT_API_TOKEN_FAR="c",
        OVERNIGHT_API_URL_FAR="https://far.example/v1",
    )
    return settings.load(api="https://api.example/v1")


def labels(found):
    return [one.label for one in found]


def test_any_is_any_account_at_the_api(two):
    assert labels(buyers.may_buy(two, buyers.named(two, "any"))) == ["main", "spare"]
    assert labels(buyers.may_buy(two, buyers.named(two, "spare"))) == ["spare"]


def test_an_account_elsewhere_takes_its_batch_there(two):
    far = buyers.for_account(two, "far")
    assert far.api.url == "https://far.example/v1"
    assert labels(buyers.may_buy(far, "far")) == ["far"]
    assert buyers.for_api(two, far.api.identity).api == far.api
    assert buyers.for_api(two, "https://nowhere.example/v1") == two


def test_an_account_that_nobody_named_is_told_with_those_that_there_are(two):
    with pytest.raises(
        errors.Mistake, match="no account is named mian; OVERNIGHT_ACCOUNTS names main, spare, far"
    ):
        buyers.named(two, "mian")


def test_an_api_at_which_no_account_is_is_told(two):
    elsewhere = buyers.for_account(two, "far")
    told = (
        "account main is at https://api.example/v1, but .* "
        "set OVERNIGHT_API_URL_MAIN=https://far.example/v1 and its token$"
    )
    with pytest.raises(errors.Mistake, match=told):
        buyers.may_buy(elsewhere, "main")
    nowhere = two.model_copy(update={"api": apis.parse("https://nowhere.example/v1")})
    with pytest.raises(errors.Mistake, match=r"no account at https://nowhere.* name one with --account"):
        buyers.may_buy(nowhere, None)


@pytest.mark.parametrize("named", ["main", ""])
def test_a_batch_whose_account_is_named_no_longer_says_what_to_set(say, named):
    say(OVERNIGHT_ACCOUNTS=named, OVERNIGHT_API_TOKEN_MAIN="a" if named else "")
    say(OVERNIGHT_API_TOKEN="" if named else "a")
    told = (
        "no account is named spare-2, .* add it to OVERNIGHT_ACCOUNTS, and set OVERNIGHT_API_TOKEN_SPARE_2$"
    )
    with pytest.raises(errors.Mistake, match=told):
        buyers.may_buy(settings.load(), "spare-2")


@pytest.mark.parametrize("label", ["main,spare", "", "Main", "../main"])
def test_what_cannot_be_one_accounts_name_is_refused_even_where_only_the_workers_know_the_names(say, label):
    say(OVERNIGHT_DATABASE_URL="postgresql://db/night", OVERNIGHT_BROKER_URL="redis://broker/0")
    with pytest.raises(errors.Mistake, match=r"is no name of one account, nor any$"):
        buyers.named(settings.load(), label)
