"""Predictions as the API's list shows them, for tests that need no server."""

from datetime import UTC, datetime

from worker.api.replies import Prediction

BORN = datetime(2026, 11, 23, 3, tzinfo=UTC)


def shown(name, sent=None, *, status="succeeded", created_at=BORN, **fields):
    """One prediction in a list; ``sent`` is its input as it is echoed."""
    return Prediction(
        **{
            "id": name,
            "status": status,
            "output": (),
            "error": None,
            "input": sent or {},
            "created_at": created_at,
            "completed_at": None,
            "predict_time": None,
            "data_removed": False,
        }
        | fields
    )
