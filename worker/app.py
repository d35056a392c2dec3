"""The Celery app: `celery -A worker.app worker`. Every setting that is not Celery's default has its reason here.

The database is the queue; a message is a hint, acknowledged before it is acted on. So: no results, no retries,
no countdowns, no time limit that could end a commit half-way but the hard one of last resort.
"""

import threading
from typing import Any

import structlog
from celery import Celery, signals
from kombu import Queue

from jobs import database, errors, logs, settings
from jobs.lanes import Lane
from worker import leaving, process, vigil
from worker.transfers import storing

log = structlog.get_logger(__name__)

_SETTINGS: dict[str, Any] = {
    "result_backend": None,
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],  # never pickle: whoever writes to the broker must not run code here
    "task_acks_late": False,  # a lost message costs one lease; the row is due again
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,  # what a worker holds back waits in no lane's order, and is lost with it
    "worker_enable_prefetch_count_reduction": False,  # for late acks; here it would only slow what comes back
    "task_time_limit": 300,  # prefork only, and only for what no deadline of ours could end
    "task_queues": [Queue(lane, routing_key=lane) for lane in Lane],
    "task_create_missing_queues": False,
    "imports": ["worker.tasks"],
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,  # a broker that is away at night comes back in the morning
    # None of our messages is acknowledged late; unset, each reconnection warns of a choice that we need not make.
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    "broker_transport_options": {
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "global_keyprefix": "overnight:",
        "queue_order_strategy": "priority",  # lanes in the order of Lane
        # A message that is taken is gone: what Redis would keep of it ends a worker that cannot put it back.
        "ack_emulation": False,
    },
    "worker_soft_shutdown_timeout": 30,
    "worker_max_tasks_per_child": 1000,  # a belt against slow leaks
    "worker_max_memory_per_child": 400_000,  # kB
    "worker_enable_remote_control": False,  # whoever writes to the broker must not end workers here
    "worker_send_task_events": False,
    "task_send_sent_event": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "timezone": "UTC",
}


def create(configured: settings.Settings) -> Celery:
    """Return an app for these settings; without a broker, one whose messages stay inside this process."""
    made = Celery("overnight", broker=configured.broker_url or "memory://localhost//", set_as_current=False)
    made.conf.update(_SETTINGS)
    # A database that is away is told by the scheduler, once; here it would be a traceback for each message.
    made.Task.throws = (errors.Unavailable,)
    if configured.broker_url:
        made.conf.broker_transport = "worker.messages:Transport"
    else:
        made.conf.broker_transport = "worker.memory:Transport"
        made.conf.broker_transport_options = {}  # known to Redis only, as the next
        made.conf.worker_disable_prefetch = False
    return made


_held: dict[int, process.Process] = {}
_strange: set[int | None] = set()
_configured: list[settings.Settings] = []


def configure(given: settings.Settings) -> Celery:
    """Return the app of this program: what a command line said goes before the environment."""
    _configured[:] = [given]
    leaving.listen()
    made = create(given)
    if given.broker_url:
        vigil.keep(made, given.times.deaf)
    made.set_default()  # threads of a pool resolve a fallback app without our settings otherwise
    return made


def hold(*started: process.Process) -> None:
    """Make these the accounts that the tasks of this process work for."""
    _held.clear()
    _held.update((one.account.id, one) for one in started)


def held(account_id: int | None) -> process.Process | None:
    """Return what tasks for an account use; a prefork child makes it at its first task, after the fork.

    None if the account is not one of this process, or a message of an older program named none and there are
    several: its rows are left alone, and due again after their lease.
    """
    if not _held:
        here = _configured[0] if _configured else settings.load()
        hold(*process.start(here, database.Database(here.database_url)))
    if account_id is None and len(_held) == 1:
        return next(iter(_held.values()))
    found = _held.get(account_id) if account_id is not None else None
    if found is None and account_id not in _strange:
        _strange.add(account_id)
        log.warning("account-not-served-here", account_id=account_id, served=sorted(_held))
    return found


def __getattr__(name: str) -> Celery:
    """Make `app` when the celery command asks for it: settings are read then, not at every import."""
    if name != "app":
        raise AttributeError(name)
    globals()["app"] = configure(settings.load())
    signals.celeryd_init.connect(_prepare)
    return globals()["app"]  # type: ignore[no-any-return]  # set in the line above


def prepare(configured: settings.Settings) -> None:
    """Do once what all children of a worker need: make the account known."""
    process.enrol(configured)


def _prepare(**_said: Any) -> None:
    try:
        prepare(_configured[0])
    except errors.OvernightError as error:  # Celery would log any other exception from here, and go on
        raise SystemExit(str(error)) from error


@signals.setup_logging.connect
def _log(**_said: Any) -> None:
    """Log as the rest of the program does; that somebody listens here keeps Celery from doing it in its own way."""
    if not logs.configured():
        logs.to_stderr(secrets=_configured[0].secrets)


@signals.worker_process_init.connect
def _sweep(**_said: Any) -> None:
    """Remove what a dead child left, as each takes the place of one; beside the work, for a folder may be large."""
    threading.Thread(target=storing.sweep, args=[_configured[0].output], name="sweep", daemon=True).start()


@signals.worker_process_shutdown.connect
def _close(**_said: Any) -> None:
    """Say goodbye to database and API when a child has done its share of tasks, or its worker ends."""
    if _held:
        process.close(_held.values())
        for one in _held.values():
            one.database.close()
