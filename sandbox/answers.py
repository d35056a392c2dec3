"""What a create's answer looks like when a fault has struck it."""

import json
from typing import Any

from starlette.responses import JSONResponse, Response

from sandbox import problems, wire


def refusal(fault: str) -> Response:
    """Return the answer to a create that was not accepted; ``fault`` is one of ``faults.BEFORE``."""
    match fault:
        case "refuse":
            return wire.Drop()
        case "429":
            return problems.throttled(1.0, {}).response()
        case "html200":
            return problems.page(200, "Welcome")
        case "late_exec":
            return problems.page(504, "Gateway time-out")
        case _:
            return problems.page(502, "Bad gateway")


def spoilt(fault: str, described: dict[str, Any]) -> Response:
    """Return the answer to a create that was accepted; ``fault`` is one of ``faults.AFTER``."""
    match fault:
        case "exec_and_timeout":
            return wire.Silence()
        case "exec_and_drop":
            return wire.Drop()
        case "exec_and_reset":
            return wire.Reset()
        case "bad_json":
            whole = json.dumps(described)
            return Response(whole[: len(whole) // 2], 201, media_type="application/json")
        case "no_id":
            return JSONResponse({k: v for k, v in described.items() if k not in {"id", "urls"}}, 201)
        case _:
            return problems.page(502, "Bad gateway")
