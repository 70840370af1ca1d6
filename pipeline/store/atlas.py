"""The store on Apache Atlas, or anything that speaks its REST: writes through pyatlan, reads by plain REST."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import httpx

from pipeline.core.limits import STORE_WRITE_TIMEOUT_S
from pipeline.messages.changes import Tag
from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.store.atlas_http import PURGE_PATH, AtlasAccess, DeniedError, MissingError
from pipeline.store.kinds import Kind, kind_of
from pipeline.store.plain import plain_body
from pipeline.store.port import (
    Entity,
    Query,
    StoreRefusedError,
    StoreUnavailableError,
    StoreUnknownError,
)
from pipeline.store.pyatlan_client import load
from pipeline.store.wire import HttpWire, Wire

GUIDS_A_REQUEST_MAX: Final = 50
"""They stand in the address: 50 are 2 KiB, and Jetty takes 8."""
GUID_CHARS_MAX: Final = 200
"""Atlas' own have 36; what is longer names nothing, and as a part of an address nobody would take it."""
LIMIT_MAX: Final = 1000
_NO_SUCH_NAME: Final = frozenset({"ATLAS-404-00-009", "ATLAS-404-00-00A"})
_NO_SUCH_GUID: Final = "ATLAS-404-00-005"
_SYSTEM: Final = ("__createdBy", "__modifiedBy", "__timestamp", "__modificationTimestamp")
"""Who and when, as attributes: what a search finds has them only where they are asked for."""


class AtlasEntityStore:
    """See :class:`pipeline.store.port.EntityStore`. Belongs to one event loop; every method may be called
    concurrently. Nothing is retried here.
    """

    def __init__(self, wire: Wire, load_models: Callable[[], None] = load) -> None:
        """``wire`` gets requests to Atlas; it is closed with the store. ``load_models`` imports pyatlan, when a write
        needs its models, or says that it must wait (StoreUnavailableError).
        """
        self._wire = wire
        self._load_models = load_models
        self._typedefs: dict[str, Mapping[str, Any]] = {}
        self._has_glossary = False

    @classmethod
    def over(
        cls,
        access: AtlasAccess,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        timeout_s: float = STORE_WRITE_TIMEOUT_S,
    ) -> "AtlasEntityStore":
        """Over HTTP; see :class:`~pipeline.store.wire.HttpWire`."""
        return cls(HttpWire(access, transport, timeout_s=timeout_s))

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        await self._wire.aclose()

    async def get(self, guids: Sequence[str], *, has_terms: bool = False) -> dict[str, Entity]:
        """See :class:`~pipeline.store.port.EntityStore`."""
        wanted = [guid for guid in dict.fromkeys(guids) if 0 < len(guid) <= GUID_CHARS_MAX and guid.isprintable()]
        found: dict[str, Entity] = {}
        for start in range(0, len(wanted), GUIDS_A_REQUEST_MAX):
            for entity in await self._get_some(wanted[start : start + GUIDS_A_REQUEST_MAX], has_terms=has_terms):
                found[entity.guid] = entity
        return found

    async def get_by_name(self, type_name: str, qualified_name: str) -> Entity | None:
        """See :class:`~pipeline.store.port.EntityStore`."""
        try:
            entity = _entity(await self._wire.named(type_name, qualified_name))
        except MissingError as error:
            if error.code in _NO_SUCH_NAME:
                return None
            raise
        return None if entity.is_deleted else entity

    async def upsert(self, entities: Sequence[EntityWrite]) -> dict[str, str]:
        """See :class:`~pipeline.store.port.EntityStore`; of two writes to one entity the later one's attributes win."""
        writes = _merged(entities)
        if not writes:
            return {}
        if any(write.terms is not None for write in writes):
            await self._check_glossary()
        guids = {write.guid or f"-{number}": write for number, write in enumerate(writes, 1)}
        bodies = [plain_body(write, guid) or self._body(write, guid) for guid, write in guids.items()]
        try:
            answer = await self._wire.save(bodies)
        except DeniedError as error:
            raise self._denied(error, {write.type_name for write in writes}) from error
        return await self._guids(writes, guids, answer)

    async def _check_glossary(self) -> None:
        """Atlas takes no notice of a relationship that it has no type of, and says that all is well."""
        if self._has_glossary:
            return
        try:
            await self._wire.read(f"types/relationshipdef/name/{types.ASSIGNMENT}")
        except MissingError as error:
            raise StoreRefusedError(
                f"This Atlas has no glossary ({types.ASSIGNMENT} isn't registered), so nothing can be given terms."
            ) from error
        self._has_glossary = True

    def _body(self, write: EntityWrite, guid: str) -> dict[str, Any]:
        self._load_models()
        from pipeline.store.atlas_models import body_of  # noqa: PLC0415  (imports pyatlan)

        return body_of(write, guid)

    async def find(self, query: Query) -> list[Entity]:
        """See :class:`~pipeline.store.port.EntityStore`."""
        if not 1 <= query.limit <= LIMIT_MAX or query.offset < 0:
            raise StoreRefusedError(f"a search gives 1 to {LIMIT_MAX} entities at a time")
        return [_entity(header) for header in await self._wire.search(_search(query))]

    async def delete(self, guids: Sequence[str]) -> None:
        """See :class:`~pipeline.store.port.EntityStore`; in several requests above 50."""
        wanted = list(dict.fromkeys(guids))
        for start in range(0, len(wanted), GUIDS_A_REQUEST_MAX):
            await self._delete_some(wanted[start : start + GUIDS_A_REQUEST_MAX])

    async def purge(self, guids: Sequence[str]) -> None:
        """See :class:`~pipeline.store.port.EntityStore`; in several requests above 50."""
        wanted = list(dict.fromkeys(guids))
        for start in range(0, len(wanted), GUIDS_A_REQUEST_MAX):
            part = wanted[start : start + GUIDS_A_REQUEST_MAX]
            try:
                await self._purge(part)
            except DeniedError as error:
                raise StoreUnavailableError(str(error)) from error

    async def _purge(self, guids: Sequence[str]) -> None:
        """Measured: Apache Atlas 2.1.0 purges, then fails at its own record of that and answers 500. Asked again it has
        nothing left to do, and says so.
        """
        try:
            await self._wire.change("PUT", PURGE_PATH, content=guids)
        except StoreUnavailableError:
            await self._wire.change("PUT", PURGE_PATH, content=guids)

    async def classify(self, guid: str, tags: Sequence[Tag], untag: Sequence[str]) -> None:
        """See :class:`~pipeline.store.port.EntityStore`; what is so already isn't asked for."""
        there = (await self.get([guid])).get(guid)
        own = {tag.type_name for tag in there.tags} if there else set[str]()
        path = f"entity/guid/{guid}/classifications"
        for method, wanted in (
            ("POST", [tag for tag in tags if tag.type_name not in own]),
            ("PUT", [tag for tag in tags if tag.type_name in own]),
        ):
            if wanted:
                await self._change(method, path, [_classification(tag) for tag in wanted])
        for name in untag:
            if name in own:
                await self._change("DELETE", f"entity/guid/{guid}/classification/{name}", None)

    async def kind(self, type_name: str, *, is_fresh: bool = False) -> Kind | None:
        """See :class:`~pipeline.store.port.EntityStore`; remembered until it is asked for afresh."""
        if type_name not in self._typedefs or is_fresh:
            await self._read_types([type_name])
        return kind_of(type_name, self._typedefs)

    async def _read_types(self, names: list[str]) -> None:
        """Those types and all they inherit from, as they are now."""
        for name in names:  # grows while it is walked
            try:
                body = await self._wire.read(f"types/entitydef/name/{name}")
            except MissingError:
                self._typedefs.pop(name, None)
                continue
            self._typedefs[name] = body
            names += [above for above in body.get("superTypes") or () if above not in names]

    async def _change(self, method: str, path: str, content: Any) -> None:
        try:
            await self._wire.change(method, path, content=content)
        except DeniedError as error:
            raise StoreRefusedError(str(error)) from error

    async def _get_some(self, guids: list[str], *, has_terms: bool = False) -> list[Entity]:
        """Atlas refuses the whole request for one unknown guid, and names it: ask again without."""
        while guids:
            try:
                return [_entity(entity) for entity in await self._wire.entities(guids, has_terms=has_terms)]
            except MissingError as error:
                if error.code != _NO_SUCH_GUID:
                    raise
                named = [guid for guid in guids if guid in str(error)]
                if not named and len(guids) > 1:
                    half = len(guids) // 2
                    return [
                        *await self._get_some(guids[:half], has_terms=has_terms),
                        *await self._get_some(guids[half:], has_terms=has_terms),
                    ]
                guids = [guid for guid in guids if named and guid not in named]
        return []

    async def _delete_some(self, guids: list[str]) -> None:
        try:
            await self._wire.change("DELETE", "entity/bulk", params={"guid": guids, "deleteType": "SOFT"})
        except DeniedError as error:
            raise StoreUnavailableError(str(error)) from error
        except MissingError as error:
            if error.code != _NO_SUCH_GUID:
                raise
            rest = [guid for guid in guids if guid not in str(error)]
            if len(rest) == len(guids):  # it doesn't say which: one after the other
                rest = []
                for guid in guids if len(guids) > 1 else ():
                    await self._delete_some([guid])
            if rest:
                await self._delete_some(rest)

    async def _guids(
        self, writes: Iterable[EntityWrite], guids: Mapping[str, EntityWrite], answer: Any
    ) -> dict[str, str]:
        """Guids by qualified name: as assigned, else as changed, else looked up (an Atlas that doesn't tell)."""
        assigned = {
            guids[own].qualified_name: real
            for own, real in (answer.get("guidAssignments") or {}).items()
            if own in guids
        }
        changed = answer.get("mutatedEntities") or {}
        for header in [*(changed.get("CREATE") or ()), *(changed.get("UPDATE") or ())]:
            name = header["attributes"].get("qualifiedName")
            if name:
                assigned.setdefault(name, header["guid"])
        assigned |= {write.qualified_name: write.guid for write in writes if write.guid is not None}
        for write in writes:
            if write.qualified_name not in assigned:
                there = await self.get_by_name(write.type_name, write.qualified_name)
                if there is None:
                    raise StoreUnknownError(
                        f"Atlas doesn't say what became of {write.type_name} {write.qualified_name}."
                    )
                assigned[write.qualified_name] = there.guid
        return assigned

    @staticmethod
    def _denied(error: DeniedError, type_names: set[str]) -> Exception:
        """On the engine's own types it is a fault of the installation, and every message would fall for it."""
        return StoreUnavailableError(str(error)) if type_names <= types.ENGINE_TYPES else StoreRefusedError(str(error))


def _merged(entities: Sequence[EntityWrite]) -> list[EntityWrite]:
    merged: dict[tuple[str, str], EntityWrite] = {}
    for write in entities:
        key = (write.type_name, write.qualified_name)
        before = merged.get(key)
        if before is not None:
            write = _joined(before, write)  # noqa: PLW2901
        if not write.type_name or not write.qualified_name:
            raise StoreRefusedError("an entity needs a type and a qualified name")
        merged[key] = write
    return list(merged.values())


def _joined(before: EntityWrite, write: EntityWrite) -> EntityWrite:
    """Two writes to one entity as one; of what both say the later one holds."""
    more = write.model_dump(exclude_none=True, exclude={"attributes"})
    return before.model_copy(update={**more, "attributes": {**before.attributes, **write.attributes}})


def _classification(tag: Tag) -> dict[str, Any]:
    body: dict[str, Any] = {"typeName": tag.type_name, "attributes": tag.attributes}
    return body if tag.propagate is None else {**body, "propagate": tag.propagate}


def _tags(body: Mapping[str, Any]) -> tuple[Tag, ...]:
    """Its own; those that came by propagation name another entity."""
    return tuple(
        Tag(type_name=given["typeName"], attributes=given.get("attributes") or {}, propagate=given.get("propagate"))
        for given in body.get("classifications") or ()
        if given.get("entityGuid", body.get("guid")) == body.get("guid")
    )


def _terms(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Guids of the terms it has now: Atlas keeps those it had."""
    given = (body.get("relationshipAttributes") or {}).get(types.MEANINGS) or ()
    return tuple(dict.fromkeys(term["guid"] for term in given if term.get("relationshipStatus") != "DELETED"))


def _search(query: Query) -> dict[str, Any]:
    body: dict[str, Any] = {
        "typeName": query.type_name,
        "excludeDeletedEntities": True,
        "includeClassificationAttributes": False,
        "attributes": sorted({"qualifiedName", "name", *_SYSTEM, *query.attributes}),
        "limit": query.limit,
        "offset": query.offset,
    }
    if query.filters:
        criterion = []
        for wanted in query.filters:
            condition: dict[str, Any] = {"attributeName": wanted.attribute, "operator": wanted.operator}
            if wanted.operator not in {"is_null", "not_null"}:
                condition["attributeValue"] = _as_text(wanted.value)
            criterion.append(condition)
        body["entityFilters"] = {"condition": "AND", "criterion": criterion}
    if query.sort_by is not None:
        body["sortBy"] = query.sort_by
        body["sortOrder"] = "DESCENDING" if query.is_descending else "ASCENDING"
    return body


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _entity(body: Mapping[str, Any]) -> Entity:
    given = body.get("attributes") or {}
    attributes = {name: value for name, value in given.items() if value is not None and name not in _SYSTEM}
    tags = body.get("classificationNames") or [tag.get("typeName") for tag in body.get("classifications") or ()]
    return Entity(
        type_name=str(body.get("typeName", "")),
        guid=str(body.get("guid", "")),
        qualified_name=str(attributes.get("qualifiedName", "")),
        attributes=attributes,
        created_by=body.get("createdBy") or given.get("__createdBy") or "",
        updated_by=body.get("updatedBy") or given.get("__modifiedBy") or "",
        created_at=body.get("createTime") or given.get("__timestamp") or 0,
        updated_at=body.get("updateTime") or given.get("__modificationTimestamp") or 0,
        is_deleted=body.get("status") == "DELETED",
        classifications=tuple(str(tag) for tag in tags),
        tags=_tags(body),
        custom_attributes=body.get("customAttributes") or {},
        terms=_terms(body),
    )
