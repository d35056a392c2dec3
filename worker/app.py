"""The Celery app: `celery -A worker.app worker`. Every setting that is not Celery's default has its reason here.

The database is the queue; a message is a hint, acknowledged before it is acted on. So there are no results, no
retries, no countdowns, and no time limit that could cut a commit short, except the hard one as a last resort.
"""

import os
import threading
import warnings
from typing import Any

import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning
from celery.utils.log import get_multiprocessing_logger
from kombu import Queue

from jobs import database, errors, logs, settings
from jobs.lanes import Lane
from worker import by_celery, context, leaving, vigil
from worker.transfers import storing

log = structlog.get_logger(__name__)

_SETTINGS: dict[str, Any] = {
    "result_backend": None,
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],  # never pickle: access to the broker must not mean running code here
    "task_acks_late": False,  # a lost message costs one lease; the row is due again
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,  # prefetched messages ignore the lanes' order, and are lost with their worker
    "worker_enable_prefetch_count_reduction": False,  # for late acks; here it would only slow reconnects
    "task_queues": [Queue(lane, routing_key=lane) for lane in Lane],
    "task_create_missing_queues": False,
    "imports": ["worker.tasks"],
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,  # a broker that is away at night comes back in the morning
    # No effect without late acks; unset, each reconnection logs a warning that a choice is missing.
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    "broker_transport_options": {
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "global_keyprefix": "overnight:",
        "queue_order_strategy": "priority",  # lanes in the order of Lane
        # A message that is taken is gone: were Redis to keep it, a worker that cannot restore it would end.
        "ack_emulation": False,
    },
    "worker_max_tasks_per_child": 1000,  # a safeguard against slow leaks
    "worker_max_memory_per_child": 400_000,  # kB
    "worker_enable_remote_control": False,  # access to the broker must not mean ending workers here
    # Its own would run, say nothing, and hand out nothing. A name, since the scheduler is no part of the worker.
    "beat_scheduler": "scheduler.timetable:Timetable",
    "worker_send_task_events": False,
    "task_send_sent_event": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "timezone": "UTC",
}


_LONGEST = 180  # seconds, beside what a task takes by its deadlines: a database that is slow, or away


def create(configured: settings.Settings) -> Celery:
    """Return an app for these settings; without a broker, its messages stay inside this process."""
    made = Celery("overnight", broker=configured.broker_url or "memory://localhost//", set_as_current=False)
    made.conf.update(_SETTINGS)
    # Prefork only, and only for what none of our deadlines could end: the longest task takes a lease and a half.
    made.conf.task_time_limit = _LONGEST + 2 * configured.times.lease
    # The scheduler reports once that the database is away; here each message would log a traceback.
    made.Task.throws = (errors.Unavailable,)
    if configured.broker_url:
        made.conf.broker_transport = "worker.brokers.redis:Transport"
        made.Task.Request = "worker.brokers.redis:Request"
    else:
        made.conf.broker_transport = "worker.brokers.memory:Transport"
        made.conf.broker_transport_options = {}  # only Redis knows these, and the next
        made.conf.worker_disable_prefetch = False
    return made


_held: dict[int, context.Context] = {}
_strange: set[int] = set()
_configured: list[settings.Settings] = []


def configure(given: settings.Settings) -> Celery:
    """Return the app of this program for settings that include the command line's."""
    _configured[:] = [given]
    if os.geteuid():
        # Celery takes whoever has a group without a name, as in a container, for root.
        warnings.simplefilter("ignore", SecurityWarning)
    leaving.listen()
    made = create(given)
    if given.broker_url:
        vigil.keep(made, given.times.deaf)
    made.set_default()  # otherwise a pool's threads get a fallback app without our settings
    return made


def hold(*started: context.Context) -> None:
    """Make the tasks of this process work for these accounts."""
    _held.clear()
    _held.update((one.account.id, one) for one in started)


def held(account_id: int) -> context.Context | None:
    """Return what tasks for an account use; a prefork child creates it at its first task, after the fork.

    None if this process does not serve the account: the rows are left alone, and due again after their lease.
    """
    if not _held:
        here = _configured[0] if _configured else settings.load()
        # The worker has registered them: a child that replaces another must not oust one that started since.
        hold(*context.start(here, database.Database(here.database_url), anew=False))
    found = _held.get(account_id)
    if found is None and account_id not in _strange:
        _strange.add(account_id)
        log.warning("account-not-served-here", account_id=account_id, served=sorted(_held))
    return found


def held_beside(here: context.Context) -> list[context.Context]:
    """Return what this process holds for the other accounts at an account's API."""
    return [one for one in _held.values() if one.account.api == here.account.api and one is not here]


def __getattr__(name: str) -> Celery:
    """Create `app` when the celery command asks for it: settings are read then, not at every import."""
    if name != "app":
        raise AttributeError(name)
    configured = by_celery.load()
    globals()["app"] = configure(configured)
    by_celery.listen(configured)
    return globals()["app"]  # type: ignore[no-any-return]  # set in the line above


@signals.setup_logging.connect
def _log(**_said: Any) -> None:
    """Log like the rest of the program; any receiver of this signal keeps Celery from setting up logging itself."""
    if not logs.configured():
        logs.to_stderr(_configured[0].secrets)
    # The pool's own logger passes nothing on: that a child died would be a line in another form.
    if pool := get_multiprocessing_logger():
        pool.propagate = True


@signals.worker_process_init.connect
def _sweep(**_said: Any) -> None:
    """Remove what dead children left behind, as each child replaces one; in a thread, for the folder may be large."""
    here = _configured[0]
    twice = threading.Thread(
        target=storing.sweep_twice, args=[here.output, here.times.lease], name="sweep", daemon=True
    )
    twice.start()


@signals.worker_process_shutdown.connect
def _close(**_said: Any) -> None:
    """Close the connections to database and API when a child has done its share of tasks, or its worker ends."""
    if _held:
        context.close(_held.values())
        for one in _held.values():
            one.database.close()
