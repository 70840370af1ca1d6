"""How requests get to Atlas and its answers back: over the network, or inside of one process."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import httpx

from pipeline.messages.canonical import MalformedError, decode, encode
from pipeline.store import counting
from pipeline.store.atlas_http import PYATLAN_PATH, PYATLAN_URL, AtlasAccess, AtlasSession, AtlasTransport, DeniedError
from pipeline.store.port import StoreUnavailableError, StoreUnknownError
from pipeline.store.pyatlan_client import client_over

JSON: Final = {"content-type": "application/json"}
_WHOLE: Final = {"minExtInfo": "true", "ignoreRelationships": "true"}
_SAVE: Final = {
    "replaceTags": False,
    "appendTags": False,
    "replaceBusinessAttributes": False,
    "overwriteBusinessAttributes": False,
}
"""The query of ``asset.save``."""


class Wire(Protocol):
    """Atlas' REST as bodies, each call once; nothing is retried.

    All raise ``StoreUnavailableError`` (nothing was written, for certain), ``StoreRefusedError`` (``MissingError``
    where what was named isn't there), and ``DeniedError``; writes also ``StoreUnknownError``: the answer was lost.
    """

    async def save(self, entities: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """One bulk; Atlas' answer with guids and qualified names only."""
        ...

    async def entities(self, guids: Sequence[str], *, has_terms: bool) -> Sequence[Mapping[str, Any]]:
        """Whole entities; one that isn't there refuses all of them. ``has_terms``: with their relationships."""
        ...

    async def named(self, type_name: str, qualified_name: str) -> Mapping[str, Any]:
        """The live entity of that name."""
        ...

    async def search(self, body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The headers that a basic search finds."""
        ...

    async def read(self, path: str) -> Mapping[str, Any]:
        """A GET of anything else."""
        ...

    async def change(
        self, method: str, path: str, *, content: Any = None, params: Mapping[str, Any] | None = None
    ) -> None:
        """A write that isn't a bulk of entities."""
        ...

    async def aclose(self) -> None:
        """Close what is open; may be called twice."""
        ...


class HttpWire:
    """See :class:`Wire`: over HTTP, bulks by pyatlan's client. Belongs to one event loop."""

    def __init__(
        self, access: AtlasAccess, transport: httpx.AsyncBaseTransport | None = None, *, timeout_s: float
    ) -> None:
        """``transport`` sends instead of the network. Connects at the first request. ``timeout_s`` is for each request,
        from its first byte to the answer's last.
        """
        self._timeout_s = timeout_s
        self._http = AtlasSession(
            base_url=PYATLAN_URL + PYATLAN_PATH,
            transport=AtlasTransport(access, transport),
            headers={"accept": "application/json", "user-agent": "blockline"},
        )
        self._pyatlan: Any = None

    async def aclose(self) -> None:
        """See :class:`Wire`."""
        await self._http.aclose()

    async def save(self, entities: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """See :class:`Wire`."""
        if self._pyatlan is None:
            self._pyatlan = client_over(self._http)
        counting.ENTITIES.labels("write").inc(len(entities))
        from pyatlan.client.constants import BULK_UPDATE  # noqa: PLC0415  (see pipeline.store.pyatlan_client)

        try:
            async with asyncio.timeout(self._timeout_s):
                # What `asset.save` ends in. The models are validated already; it would do that twice more for each,
                # and parse the text of the whole bulk again to look for tags of Atlan's, which ours never have.
                answer = await self._pyatlan._call_api(BULK_UPDATE, _SAVE, {"entities": entities})  # noqa: SLF001
        except TimeoutError as error:
            raise StoreUnknownError(f"Atlas didn't answer a write within {self._timeout_s:g} s.") from error
        return answer or {}

    async def entities(self, guids: Sequence[str], *, has_terms: bool) -> Sequence[Mapping[str, Any]]:
        """See :class:`Wire`."""
        counting.ENTITIES.labels("read").inc(len(guids))
        parameters = {"minExtInfo": "true"} if has_terms else _WHOLE
        body = await self._body("GET", "entity/bulk", params={"guid": guids, **parameters})
        return body.get("entities") or ()

    async def named(self, type_name: str, qualified_name: str) -> Mapping[str, Any]:
        """See :class:`Wire`."""
        path = f"entity/uniqueAttribute/type/{type_name}"
        body = await self._body("GET", path, params={"attr:qualifiedName": qualified_name, **_WHOLE})
        return body.get("entity") or {}

    async def search(self, body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """See :class:`Wire`."""
        found = await self._body("POST", "search/basic", content=encode(body), headers=JSON)
        return found.get("entities") or ()

    async def read(self, path: str) -> Mapping[str, Any]:
        """See :class:`Wire`."""
        return await self._body("GET", path)

    async def change(
        self, method: str, path: str, *, content: Any = None, params: Mapping[str, Any] | None = None
    ) -> None:
        """See :class:`Wire`."""
        request: dict[str, Any] = {} if content is None else {"content": encode(content)}
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._http.request(method, path, params=params, headers=JSON, **request)
        except TimeoutError as error:
            raise StoreUnknownError(f"Atlas didn't answer within {self._timeout_s:g} s.") from error

    async def _body(self, method: str, path: str, **request: Any) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._http.request(method, path, **request)
            body = decode(response.content)
        except TimeoutError as error:
            raise StoreUnavailableError(f"Atlas didn't answer within {self._timeout_s:g} s.") from error
        except DeniedError as error:
            raise StoreUnavailableError(str(error)) from error
        except MalformedError as error:
            raise StoreUnavailableError("Atlas' answer isn't JSON.") from error
        if not isinstance(body, dict):
            raise StoreUnavailableError("Atlas' answer isn't what Atlas answers.")
        return body
