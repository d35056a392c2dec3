"""What our own source never does, whoever writes the next line of it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("overnight", "jobs", "worker", "scheduler", "sandbox", "migrations")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# Calls that run what they read, or a shell.
RUNNING = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads", "marshal.loads",
    "shelve.open", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "subprocess.getoutput", "tempfile.mktemp",
}  # fmt: skip
# Keywords that switch a check off, by the value that does.
OFF = {"verify": False, "check_hostname": False, "shell": True, "ssl_cert_reqs": None}
# Functions of SQLAlchemy and of drivers that take SQL as text.
SQL = {"text", "exec_driver_sql", "execute", "executescript", "literal_column", "op"}


def nodes(kind):
    """Yield every node of a kind, with where it stands."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, kind):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_package_is_read():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(PACKAGES)
    assert len(FILES) > 100


def test_nothing_that_was_read_is_run():
    assert [where for where, call in nodes(ast.Call) if ast.unparse(call.func) in RUNNING] == []


def test_no_check_is_switched_off():
    kinds = (ast.keyword, ast.Assign, ast.AnnAssign, ast.Dict, ast.Attribute)
    assert [where for where, node in nodes(kinds) if _switches_off(node)] == []


def _switches_off(node):
    """Whether a keyword, an assignment or an entry of a dict gives a check the value by which it is off."""
    match node:
        case ast.keyword(arg=name, value=value):
            given = [(name, value)]
        case ast.Assign(targets=targets, value=value):
            given = [(_last_name(target), value) for target in targets]
        case ast.AnnAssign(target=target, value=value):
            given = [(_last_name(target), value)]
        case ast.Dict(keys=keys, values=values):
            given = [
                (key.value, value)
                for key, value in zip(keys, values, strict=True)
                if isinstance(key, ast.Constant)
            ]
        case ast.Attribute(attr=name):
            return name in {"CERT_NONE", "CERT_OPTIONAL"}
        case _:
            return False
    return any(
        name in OFF and isinstance(value, ast.Constant) and value.value is OFF[name] for name, value in given
    )


def _last_name(target):
    return ast.unparse(target).rpartition(".")[2]


@pytest.mark.parametrize(
    "line",
    [
        "httpx.Client(verify=False)", "context.check_hostname = False", "verify: bool = False", "{'shell': True}",
        "redis.Redis(ssl_cert_reqs=None)", "context.verify_mode = ssl.CERT_NONE",
    ],
)  # fmt: skip
def test_a_check_that_is_switched_off_is_seen(line):
    assert any(map(_switches_off, ast.walk(ast.parse(line))))


@pytest.mark.parametrize(
    "line", ["httpx.Client(verify=context)", "context.check_hostname = True", "run(shell=False)"]
)
def test_a_check_that_is_on_is_left_alone(line):
    assert not any(map(_switches_off, ast.walk(ast.parse(line))))


def test_no_sql_is_put_together_from_values():
    """A text may be glued to constants of its own module, which are written in capitals, and to nothing else."""
    found = [
        where
        for where, call in nodes(ast.Call)
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in SQL
        and call.args
        and _is_glued(call.args[0])
    ]
    assert found == []


def _is_glued(sql):
    match sql:
        case ast.JoinedStr(values=parts):
            return any(
                isinstance(part, ast.FormattedValue) and not _is_constant(part.value) for part in parts
            )
        case (
            ast.BinOp(op=ast.Add() | ast.Mod(), left=left)
            | ast.Call(func=ast.Attribute(value=left, attr="format"))
        ):
            return isinstance(left, ast.JoinedStr | ast.Constant | ast.BinOp)
        case _:
            return False


def _is_constant(value):
    name = ast.unparse(value)
    return name.replace(".", "_").isupper() or name.split(".")[-1].isupper()


@pytest.mark.parametrize(
    "sql", ['f"SELECT {x}"', '"SELECT " + x', '"SELECT %s" % x', '"SELECT {}".format(x)']
)
def test_glued_sql_is_seen(sql):
    assert _is_glued(ast.parse(sql, mode="eval").body)


@pytest.mark.parametrize(
    "sql", ['"SELECT 1"', 'f"PRAGMA busy_timeout = {_BUSY_MS}"', "query", "sa.select(x)"]
)
def test_sql_that_is_whole_is_left_alone(sql):
    assert not _is_glued(ast.parse(sql, mode="eval").body)


def test_no_sql_numbers_its_parameters():
    """Python 3.12.0 to 3.12.3 warn of a sequence that is given for them, and warnings are errors to our tests."""
    texts = ((where, node.value) for where, node in nodes(ast.Constant) if isinstance(node.value, str))
    assert [where for where, text in texts if re.search(r"\?\d", text)] == []


def test_a_secret_is_taken_out_of_its_wrapping_in_few_places():
    """Each of them sends it, compares it, or keeps it out of a text."""
    files = {
        where.partition(":")[0] for where, name in nodes(ast.Attribute) if name.attr == "get_secret_value"
    }
    assert files == {
        "jobs/settings/fields.py", "jobs/signatures.py", "jobs/settings/tokens.py", "worker/api/client.py",
        "worker/enrolment.py",
    }  # fmt: skip


def test_no_option_takes_a_token():
    options = [
        argument.value
        for _, call in nodes(ast.Call)
        if ast.unparse(call.func) == "click.option"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    ]
    assert "--database" in options
    assert [name for name in options if "token" in str(name) or "password" in str(name)] == []
