"""Log lines as they reach a file."""

import json
import logging

import pytest
import structlog

from jobs import logs


@pytest.fixture(autouse=True)
def _logging_as_before():
    """Leave the process's logging as it was found: other tests run in it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    structlog.reset_defaults()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_ours_and_other_libraries_lines_look_the_same(tmp_path):
    logs.to_file(tmp_path / "overnight.log")
    structlog.get_logger("worker").info("accepted", job="cats/1")
    logging.getLogger("celery.worker").warning("lost %s", "broker")
    ours, celery = lines(tmp_path / "overnight.log")
    assert (ours["event"], ours["job"], ours["level"], ours["logger"]) == (
        "accepted",
        "cats/1",
        "info",
        "worker",
    )
    assert (celery["event"], celery["level"], celery["logger"]) == ("lost broker", "warning", "celery.worker")
    assert ours["at"].endswith("Z")


def test_libraries_are_heard_from_a_warning_on(tmp_path):
    logs.to_file(tmp_path / "overnight.log")
    for name in ("alembic", "celery", "httpx", "kombu", "sqlalchemy.engine"):
        logging.getLogger(name).info("chatter")
    structlog.get_logger("worker").info("ours")
    assert [line["event"] for line in lines(tmp_path / "overnight.log")] == ["ours"]


def test_no_text_can_forge_a_line_or_steer_a_terminal(tmp_path):
    logs.to_file(tmp_path / "overnight.log")
    structlog.get_logger("worker").info("reply", body='x\n{"event": "forged"}\x1b[2J\u2028')
    raw = (tmp_path / "overnight.log").read_text()
    assert raw.count("\n") == 1
    assert raw.strip().isprintable()


def refuse(text):
    raise ValueError(text)


def test_a_secret_is_blotted_out_wherever_it_appears(tmp_path):
    logs.to_file(tmp_path / "overnight.log", secrets=['s3"cr3t'])
    try:
        refuse('refused: Bearer s3"cr3t')
    except ValueError:
        structlog.get_logger("worker").exception("refused", header='Bearer s3"cr3t')
    logging.getLogger("httpx").warning('s3"cr3t')
    raw = (tmp_path / "overnight.log").read_text()
    assert "cr3t" not in raw
    assert "Bearer [hidden]" in raw


def test_a_traceback_comes_without_the_values_of_variables(tmp_path):
    logs.to_file(tmp_path / "overnight.log")
    private = "private"[::-1]
    try:
        refuse(len(private))
    except ValueError:
        structlog.get_logger("worker").exception("bug")
    [line] = lines(tmp_path / "overnight.log")
    assert "ValueError: 7" in line["exception"]
    assert private not in line["exception"]


def test_the_file_is_made_with_its_first_line(tmp_path):
    logs.to_file(tmp_path / "overnight.log")
    assert not (tmp_path / "overnight.log").exists()
    assert logs.destination() == tmp_path / "overnight.log"


def test_a_log_that_cannot_be_written_stops_nothing_and_is_known(tmp_path, capsys):
    logs.to_file(tmp_path / "missing" / "overnight.log")
    structlog.get_logger("worker").warning("lost")
    assert logs.broken()
    assert logs.destination() is None
    assert capsys.readouterr() == ("", "")


def test_logging_to_the_error_stream_replaces_the_file(tmp_path, capsys):
    logs.to_file(tmp_path / "overnight.log")
    logs.to_stderr(["token"])
    structlog.get_logger("worker").debug("quiet")
    structlog.get_logger("worker").warning("token seen")
    assert json.loads(capsys.readouterr().err)["event"] == "[hidden] seen"
    assert not (tmp_path / "overnight.log").exists()
