"""A batch as plain data, for `--json`: names as in the tables."""

from typing import Any

from jobs.reports.limits import Limit
from jobs.reports.results import Harvest
from jobs.reports.status import Overview, Progress, Standing
from jobs.settings import Settings, folders
from jobs.states import State
from overnight.display import advised, stored


def overview(row: Overview) -> dict[str, Any]:
    """Return what is known of one batch among many."""
    batch = row.batch
    return {
        "batch": batch.name,
        "state": batch.state,
        "pause_reason": batch.pause_reason,
        "pause_detail": batch.pause_detail,
        "finished": row.finished,
        "api": batch.api,
        "manifest": batch.manifest_path,
        "created_at": batch.created_at,
        "total": row.counts.total,
        "ended": row.counts.ended,
        "counts": {str(state): row.counts.of(state) for state in State},
    }


def glance(row: Overview, limit: Limit | None) -> dict[str, Any]:
    """Return what is known of one batch among many, with what limits it, as far as that is known."""
    return overview(row) | {"limit": limit and _limit(limit)}


def detail(
    progress: Progress, harvest: Harvest, limit: Limit, settings: Settings, flags: str
) -> dict[str, Any]:
    """Return all about one batch."""
    folder = folders.of_batch(settings, progress.batch.output) / progress.batch.folder
    return overview(progress) | {
        "at": progress.at,
        "limit": _limit(limit),
        "failures": _failures(progress, harvest, flags),
        "look_ups_end": progress.look_ups_end,
        "next_due": progress.next_due,
        "account": _account(progress.account) if progress.account else None,
        "accounts": [_account(one) for one in progress.accounts],
        "images": harvest.images,
        "images_not_there": harvest.images - stored.files(folder, harvest.images),
        "bytes": harvest.bytes,
        "images_dropped": harvest.dropped,
        "predictions": harvest.predictions,
        "cost": harvest.spent(settings.price),
        "predictions_without_price": harvest.unpriced,
        "found_late": harvest.found_late,
        "orphans": harvest.orphans,
        "orphans_to_cancel": harvest.orphans_left,
        "orphans_not_cancelled": harvest.orphans_refused,
        "possibly_paid_twice": harvest.possibly_paid,
        "sends_unanswered": harvest.unanswered,
        "folder": str(folder),
        "events": [{"at": event.at, "kind": event.kind, "detail": event.detail} for event in progress.events],
    }


def _limit(limit: Limit) -> dict[str, Any]:
    return {"kind": limit.kind, "text": limit.text}


def _failures(progress: Progress, harvest: Harvest, flags: str) -> list[dict[str, Any]]:
    return [
        {"class": one.error_class, "count": one.count, "command": one.command or None}
        for one in advised.of(progress, harvest.refused, flags)
    ]


def _account(account: Standing) -> dict[str, Any]:
    return {
        "name": account.name,
        "label": account.label,
        "rate": account.rate,
        "in_flight": account.in_flight,
        "seen_at": account.seen_at,
        "not_before": account.not_before,
        "breaker": account.breaker.state,
        "reason": account.breaker.reason,
        "probe_at": account.breaker.probe_at,
    }
