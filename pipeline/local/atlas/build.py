"""Puts the embedded Atlas together; the caller opens and closes the database."""

from starlette.applications import Starlette

from pipeline.core.clock import Clock
from pipeline.local.atlas.app import build_app
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.guard import Guard
from pipeline.local.atlas.rights import Caller
from pipeline.local.atlas.service import AtlasService
from pipeline.local.atlas.users import ENGINE_NAME, UserStore
from pipeline.store.typedefs import catalog_typedefs, engine_typedefs, missing_from


async def build_atlas(
    database: Database, users: UserStore, engine_token: str, clock: Clock, guard: Guard | None = None
) -> Starlette:
    """The app over :func:`build_service`. Answers below ``/api/atlas`` and ``/api/meta``.

    ``guard``: the one of whatever else answers on the same port; without, one of its own.

    Raises:
        BlocklineError: as there.
    """
    return build_app(await build_service(database, clock), guard or Guard(users, clock), engine_token)


async def build_service(database: Database, clock: Clock) -> AtlasService:
    """The server without HTTP, with the engine's and the catalog's types registered.

    Raises:
        BlocklineError: the data holds a type of the engine in a form that doesn't fit.
    """
    service = AtlasService(database, clock)
    await service.load()
    engine = Caller(ENGINE_NAME, is_author=True, is_admin=True)
    for wanted, is_ours in ((engine_typedefs(), True), (catalog_typedefs(), False)):
        change = missing_from(service.types.bodies, wanted, is_ours=is_ours)
        if change.new:
            await service.put_types(engine, change.new, is_new=True)
        if change.changed:
            await service.put_types(engine, change.changed, is_new=False)
    return service
