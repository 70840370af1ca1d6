"""What changes of assets come to, against a read made for this very write."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.messages.changes import AssetChange, AssetRef, Tag
from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.store.changing import Changed, apply_change, tags_missing, unchanged, write_of
from pipeline.store.kinds import Kind
from pipeline.store.port import Entity, EntityStore


@dataclass(frozen=True, slots=True)
class Mark:
    """Classifications to be put on an asset, and taken off it."""

    guid: str
    tags: tuple[Tag, ...]
    untag: tuple[str, ...]


class Assets:
    """Reads only; nothing is remembered from one write to the next."""

    def __init__(self, store: EntityStore) -> None:
        """The sink's own store."""
        self._store = store

    async def touched(self, changes: Sequence[AssetChange]) -> frozenset[tuple[str, str]]:
        """The assets (type and qualified name) that the changes are about; those that aren't there are left out.

        Raises:
            StoreUnavailableError: they can't be read now.
            StoreRefusedError: one is named by something that can't be a name.
        """
        found = [await self._entity(change.asset, has_terms=False) for change in changes]
        return frozenset((entity.type_name, entity.qualified_name) for entity in found if entity is not None)

    async def resolved(
        self, changes: Sequence[AssetChange], beside: Sequence[EntityWrite]
    ) -> tuple[list[EntityWrite], list[Mark]]:
        """What to write and which classifications to change, so that all changes are made, one after the other.

        ``beside``: what is written with them; a change of one of these entities goes on from there.

        Raises:
            ChangeRefusedError: one can't be made.
            StoreUnavailableError: the assets can't be read now.
            StoreRefusedError: one is named by something that can't be a name.
        """
        states: dict[str, Changed] = {}
        for change in changes:
            entity = await self._entity(change.asset, has_terms=change.names_terms)
            state = None if entity is None else states.get(entity.guid)
            if state is None or entity is None:
                kind = None if entity is None else await self._kind(entity.type_name, change)
                state = _beside(unchanged(entity, str(change.asset), kind), beside)
            elif change.names_terms and not state.has_terms:
                state = replace(state, entity=replace(state.entity, terms=entity.terms), terms=entity.terms)
            after = apply_change(state, change, await self._terms(change))
            states[after.entity.guid] = replace(after, has_terms=state.has_terms or change.names_terms)
        writes = [write for state in states.values() if (write := write_of(state)) is not None]
        marks = [Mark(guid, *missing) for guid, state in states.items() if any(missing := tags_missing(state))]
        return writes, marks

    async def _entity(self, asset: AssetRef, *, has_terms: bool) -> Entity | None:
        if asset.guid is not None:
            return (await self._store.get([asset.guid], has_terms=has_terms)).get(asset.guid)
        found = await self._store.get_by_name(asset.type_name or "", asset.qualified_name or "")
        if found is None or not has_terms:
            return found
        return (await self._store.get([found.guid], has_terms=True)).get(found.guid)

    async def _kind(self, type_name: str, change: AssetChange) -> Kind | None:
        """A type may have grown since it was read: what it lacks is looked for again."""
        kind = await self._store.kind(type_name)
        if kind is not None and all(name in kind.attributes for name in change.attributes):
            return kind
        return await self._store.kind(type_name, is_fresh=True)

    async def _terms(self, change: AssetChange) -> dict[str, str]:
        """Guids of the terms that are named, by guid or qualified name; those that aren't there are left out."""
        names = (*change.terms_add, *change.terms_remove)
        found = await self._store.get(names) if names else {}
        guids = {guid: guid for guid, term in found.items() if term.type_name == types.TERM and not term.is_deleted}
        for name in names:
            if name not in guids:
                term = await self._store.get_by_name(types.TERM, name)
                if term is not None:
                    guids[name] = term.guid
        return guids


def _beside(state: Changed, writes: Sequence[EntityWrite]) -> Changed:
    key = (state.entity.type_name, state.entity.qualified_name)
    for write in writes:
        if (write.type_name, write.qualified_name) == key:
            state = replace(state, attributes={**state.attributes, **write.attributes})
    return state
