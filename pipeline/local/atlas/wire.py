"""The store's way to the embedded Atlas of its own process: its service is called, with no HTTP in between."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, TypeVar

import orjson

from pipeline.local.atlas.database import DatabaseError, DiskFullError
from pipeline.local.atlas.errors import AtlasError
from pipeline.local.atlas.rights import Caller
from pipeline.local.atlas.service import AtlasService
from pipeline.local.atlas.users import ENGINE_NAME
from pipeline.store.atlas_http import refusal
from pipeline.store.port import StoreFullError, StoreUnavailableError
from pipeline.store.wire import Wire

T = TypeVar("T")
ENGINE: Final = Caller(ENGINE_NAME, is_author=True, is_admin=True)


class ServiceWire:
    """See :class:`pipeline.store.wire.Wire`: entities and searches straight, as the engine's own account; what is
    rarely asked goes over HTTP. What a bulk carries is read and checked by the service as if it had come that way.
    """

    def __init__(self, service: AtlasService, over_http: Wire) -> None:
        """``over_http`` is for the rest, and closed with this one."""
        self._service = service
        self._over_http = over_http

    async def save(self, entities: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """See the port. An answer isn't lost here: a write that fails has left nothing."""
        return (await _told(self._service.upsert(ENGINE, {"entities": entities}))).shown()

    async def entities(self, guids: Sequence[str], *, has_terms: bool) -> Sequence[Mapping[str, Any]]:
        """See the port; terms are at hand."""
        del has_terms
        found: Sequence[Mapping[str, Any]] = _plain(await _told(self._service.get(ENGINE, guids)))
        return found

    async def named(self, type_name: str, qualified_name: str) -> Mapping[str, Any]:
        """See the port."""
        found: Mapping[str, Any] = _plain(await _told(self._service.get_named(ENGINE, type_name, qualified_name)))
        return found

    async def search(self, body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """See the port."""
        found = await _told(self._service.search(ENGINE, body))
        headers: Sequence[Mapping[str, Any]] = _plain(found.get("entities", ()))
        return headers

    async def read(self, path: str) -> Mapping[str, Any]:
        """See the port."""
        return await self._over_http.read(path)

    async def change(
        self, method: str, path: str, *, content: Any = None, params: Mapping[str, Any] | None = None
    ) -> None:
        """See the port."""
        await self._over_http.change(method, path, content=content, params=params)

    async def aclose(self) -> None:
        """See the port."""
        await self._over_http.aclose()


def _plain(answer: Any) -> Any:
    """An answer without the pieces of JSON text that stand in it."""
    return orjson.loads(orjson.dumps(answer))


async def _told(answer: Awaitable[T]) -> T:
    """The answer, or the port's error for a refusal: the one that it would be over HTTP."""
    try:
        return await answer
    except AtlasError as error:
        raise refusal(error.status, error.body()["errorCode"], f"Atlas: {error}") from error
    except DiskFullError as error:
        raise StoreFullError(f"Atlas: {error}") from error
    except DatabaseError as error:
        raise StoreUnavailableError(f"Atlas: {error}") from error
