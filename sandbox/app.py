"""How the sandbox's parts are put together. `routes` says which path leads to which."""

import contextlib
import math
from collections.abc import AsyncIterator

from starlette.routing import Router

from sandbox import routes
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
from sandbox.plan import Plan
from sandbox.reading import Reading
from sandbox.records import Records
from sandbox.views import Views
from sandbox.webhooks import Webhooks


def create_app(options: Options, records: Records) -> Router:
    """Return the ASGI application; a bare router, since middleware would cost a third of each request."""
    plan = _plan(options, records)
    census = Census()
    blobs = Blobs(options.state / "blobs")
    guard = Guard(options, plan=plan, records=records, census=census)
    files = Files(options.lifetime, plan=plan, records=records, blobs=blobs)
    pictures = Pictures(blobs, files.find)
    outputs = Outputs(options.output_size, blobs, plan)
    views = Views(options.lifetime, plan=plan, profile=options.manners, outputs=outputs)
    webhooks = Webhooks(options.webhook_secret, plan=plan, views=views, census=census)
    creation = Creation(
        options=options,
        plan=plan,
        records=records,
        pictures=pictures,
        views=views,
        census=census,
        webhooks=webhooks,
        hold=guard.hold,
    )
    reading = Reading(
        options=options, plan=plan, records=records, views=views, census=census, webhooks=webhooks
    )
    listing = Listing(options=options, plan=plan, records=records, views=views)
    delivery = Delivery(
        options=options, plan=plan, records=records, blobs=blobs, outputs=outputs, census=census
    )
    control = Control(plan=plan, records=records, census=census)

    @contextlib.asynccontextmanager
    async def resumed(_app: Router) -> AsyncIterator[None]:
        creation.resume()
        yield

    return Router(routes.of(guard, creation, reading, listing, delivery, files, control), lifespan=resumed)


def _plan(options: Options, records: Records) -> Plan:
    """Return the plan as it was left: with the faults of the command line, and then as they were switched."""
    began, switches = records.begin(
        {"faults": options.shares, "heal_after": options.heal_after, "outage": options.outage}
    )
    plan = Plan(options.seed, options.shares, began + options.heal_after if options.heal_after else math.inf)
    for shares, moment in switches:
        if shares is None:
            plan.heal()
        else:
            plan.switch(shares, moment)
    return plan
