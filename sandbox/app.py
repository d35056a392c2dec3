"""The sandbox's routes, and how its parts are put together."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from sandbox import plan, problems, schema
from sandbox.blobs import Blobs
from sandbox.census import Census
from sandbox.control import Control
from sandbox.creation import Creation
from sandbox.delivery import Delivery
from sandbox.files import Files
from sandbox.guard import Guard
from sandbox.listing import Listing
from sandbox.options import Options
from sandbox.outputs import Outputs
from sandbox.pictures import Pictures
from sandbox.reading import Reading
from sandbox.records import Records
from sandbox.views import Views
from sandbox.webhooks import Webhooks


def create_app(options: Options, records: Records) -> Router:
    """Return the ASGI application; a bare router, since middleware would cost a third of each request."""
    drawn = plan.Plan(options.seed, options.shares, options.heal_after)
    census = Census()
    blobs = Blobs(options.state / "blobs")
    guard = Guard(options, drawn=drawn, records=records, census=census)
    files = Files(options.lifetime, drawn=drawn, records=records, blobs=blobs)
    pictures = Pictures(blobs, files.find)
    outputs = Outputs(options.output_size, blobs, drawn)
    views = Views(options.lifetime, drawn=drawn, profile=options.manners, outputs=outputs)
    webhooks = Webhooks(options.webhook_secret, drawn=drawn, views=views, census=census)
    creation = Creation(
        options,
        drawn=drawn,
        records=records,
        pictures=pictures,
        views=views,
        census=census,
        webhooks=webhooks,
    )
    reading = Reading(
        options.lag, drawn=drawn, records=records, views=views, census=census, webhooks=webhooks
    )
    listing = Listing(
        options.lag, elsewhere=options.manners.elsewhere, drawn=drawn, records=records, views=views
    )
    delivery = Delivery(options, drawn=drawn, records=records, blobs=blobs, outputs=outputs, census=census)
    control = Control(drawn=drawn, records=records, census=census)
    return Router(
        [
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
    )


async def _account(request: Request, account: str) -> Response:  # noqa: ARG001  a route takes the request
    return JSONResponse({"type": "user", "username": f"rehearsal-{account}", "name": "Rehearsal"})


async def _version(request: Request, account: str) -> Response:  # noqa: ARG001  every account sees the model
    owner, name, version = (request.path_params[part] for part in ("owner", "name", "id"))
    if (owner, name) != (schema.OWNER, schema.NAME):
        raise problems.not_found()
    return JSONResponse(
        {
            "id": version,
            "created_at": "2022-12-01T00:00:00.000000Z",
            "cog_version": "0.9.0",
            "openapi_schema": schema.OPENAPI,
        }
    )
