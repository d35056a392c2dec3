"""Which path leads to which part of the sandbox; the account and the model, which never change, are answered here."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox import problems, schema
from sandbox.control import Control
from sandbox.creation import Creation
from sandbox.delivery import Delivery
from sandbox.files import Files
from sandbox.guard import Guard
from sandbox.listing import Listing
from sandbox.reading import Reading


def of(
    guard: Guard,
    creation: Creation,
    reading: Reading,
    listing: Listing,
    delivery: Delivery,
    files: Files,
    control: Control,
) -> list[Route]:
    """Return all routes, in the order in which they are tried."""
    return [
        Route("/v1/predictions/{id}", guard.over("get", reading.get)),
        Route("/v1/predictions", guard.over("create", creation.create), methods=["POST"]),
        Route("/v1/predictions", guard.over("list", listing.list)),
        Route("/output/{key}/{name}", delivery.output),
        Route("/v1/predictions/{id}/cancel", guard.over("cancel", reading.cancel), methods=["POST"]),
        Route("/v1/files", guard.over("file", files.create), methods=["POST"]),
        Route("/v1/files", guard.over("file", files.list)),
        Route("/v1/files/{id}", guard.over("file", files.delete), methods=["DELETE"]),
        Route("/v1/files/{id}", guard.over("file", files.get)),
        Route("/v1/account", guard.over("account", _account)),
        Route("/v1/models/{owner}/{name}/versions/{id}", guard.over("version", _version)),
        Route("/input/{key}", delivery.input),
        Route("/_heal", control.heal, methods=["POST"]),
        Route("/_faults", control.faults, methods=["POST"]),
        Route("/_stats", control.stats),
    ]


async def _account(request: Request, account: str) -> Response:  # noqa: ARG001  a route takes the request
    return JSONResponse({"type": "user", "username": f"rehearsal-{account}", "name": "Rehearsal"})


async def _version(request: Request, account: str) -> Response:  # noqa: ARG001  every account sees the model
    owner, name, version = (request.path_params[part] for part in ("owner", "name", "id"))
    if (owner, name) != (schema.OWNER, schema.NAME) or not schema.VERSION.fullmatch(version):
        raise problems.not_found()
    return JSONResponse(
        {
            "id": version,
            "created_at": "2022-12-01T00:00:00.000000Z",
            "cog_version": "0.9.0",
            "openapi_schema": schema.OPENAPI,
        }
    )
