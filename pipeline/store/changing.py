"""What a change comes to on an asset as the store has it: pure, so that it can be resolved afresh for each write."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pipeline.core.errors import BlocklineError, ErrorName
from pipeline.messages.changes import AssetChange, Tag
from pipeline.messages.envelopes import EntityWrite
from pipeline.store.kinds import Kind
from pipeline.store.port import Entity

_EMPTY: Final[tuple[Any, ...]] = (None, "", [], {})
_OWN: Final = frozenset({"qualifiedName"})
"""What an asset is known by: a change of it would make another asset for everybody who refers to it."""


class ChangeRefusedError(BlocklineError):
    """The change can't be made, whoever asks again; ``name`` is the error its task ends by."""

    def __init__(self, sentence: str, name: ErrorName = ErrorName.METADATA_REFUSED) -> None:
        """``sentence`` says what to do about it."""
        super().__init__(sentence)
        self.name = name


@dataclass(frozen=True, slots=True)
class Changed:
    """An asset as changes have made it so far; ``terms`` are guids."""

    entity: Entity
    kind: Kind
    attributes: Mapping[str, Any]
    custom: Mapping[str, str]
    terms: tuple[str, ...]
    tags: Mapping[str, Tag] = field(default_factory=dict)
    untag: frozenset[str] = frozenset()
    has_terms: bool = False
    """Whether the asset was read with its terms."""


def unchanged(entity: Entity | None, named: str, kind: Kind | None) -> Changed:
    """The asset before any change.

    Raises:
        ChangeRefusedError: there is no such asset (``named`` says which was asked for), or it is the engine's.
    """
    if entity is None or entity.is_deleted:
        raise ChangeRefusedError(f"There is no asset {named} (any more).")
    if kind is None:
        raise ChangeRefusedError(f"The type {entity.type_name} of {named} isn't known.")
    if kind.is_engines:
        raise ChangeRefusedError(
            f"{named} is a {entity.type_name}, which is the engine's own; METADATA changes assets."
        )
    return Changed(entity, kind, entity.attributes, entity.custom_attributes, entity.terms)


def apply_change(before: Changed, change: AssetChange, terms: Mapping[str, str]) -> Changed:
    """The asset after one more change; ``terms`` gives the guid of each term that the change names.

    Raises:
        ChangeRefusedError: the type doesn't allow it, a term isn't there, or an expectation doesn't hold.
    """
    _check(before.kind, change)
    _expect(before, change)
    attributes = dict(before.attributes)
    attributes.update(change.set)
    for name, values in change.remove.items():
        attributes[name] = [value for value in attributes.get(name) or () if value not in values]
    for name, values in change.add.items():
        attributes[name] = _with(attributes.get(name) or (), values)
    custom = {**before.custom, **change.custom}
    gone = {_guid(terms, name) for name in change.terms_remove}
    kept = [guid for guid in before.terms if guid not in gone]
    tags = {tag.type_name: tag for tag in change.tags}
    return replace(
        before,
        attributes=attributes,
        custom={name: value for name, value in custom.items() if value is not None},
        terms=tuple(_with(kept, [_guid(terms, name) for name in change.terms_add])),
        tags={name: tag for name, tag in before.tags.items() if name not in change.untag} | tags,
        untag=(before.untag - tags.keys()) | frozenset(change.untag),
    )


def write_of(changed: Changed) -> EntityWrite | None:
    """What to write in the bulk so that the asset is like that; None where it is already. Tags aren't part of it."""
    entity, kind = changed.entity, changed.kind
    differing = {
        name: value
        for name, value in changed.attributes.items()
        if value != entity.attributes.get(name) and not _is_empty_both(value, entity.attributes.get(name))
    }
    is_custom = dict(changed.custom) != dict(entity.custom_attributes)
    is_terms = set(changed.terms) != set(entity.terms)
    if not (differing or is_custom or is_terms):
        return None
    present = {name: entity.attributes[name] for name in kind.mandatory if name in entity.attributes}
    unset = tuple(sorted(name for name, value in differing.items() if value is None))
    return EntityWrite(
        type_name=entity.type_name,
        qualified_name=entity.qualified_name,
        attributes={**present, **{name: value for name, value in differing.items() if value is not None}},
        guid=entity.guid,
        unset=unset or None,
        custom_attributes=dict(changed.custom) if is_custom else None,
        terms=changed.terms if is_terms else None,
    )


def tags_missing(changed: Changed) -> tuple[tuple[Tag, ...], tuple[str, ...]]:
    """Classifications still to be put on (or changed), and to be taken off."""
    own = {tag.type_name: tag for tag in changed.entity.tags}
    on = tuple(tag for tag in changed.tags.values() if not _has(own.get(tag.type_name), tag))
    return on, tuple(sorted(name for name in changed.untag if name in own))


def _has(own: Tag | None, wanted: Tag) -> bool:
    """The store has it like that: attributes that aren't named keep their values."""
    if own is None or wanted.propagate not in {None, own.propagate}:
        return False
    return all(own.attributes.get(name) == value for name, value in wanted.attributes.items())


def _check(kind: Kind, change: AssetChange) -> None:
    unknown = [name for name in change.attributes if name not in kind.attributes]
    if unknown:
        raise ChangeRefusedError(f"A {kind.name} has no attribute {', '.join(unknown)}.")
    own = sorted(_OWN & {*change.set, *change.add, *change.remove})
    if own:
        raise ChangeRefusedError(f"{', '.join(own)} is what the asset is known by; it can't be changed.")
    single = [name for name in (*change.add, *change.remove) if not kind.is_list(name)]
    if single:
        raise ChangeRefusedError(f"{', '.join(single)} of a {kind.name} isn't a list: set it instead.")
    mandatory = [name for name, value in change.set.items() if value in _EMPTY and name in kind.mandatory]
    if mandatory:
        raise ChangeRefusedError(f"A {kind.name} must have {', '.join(mandatory)}; give it a value.")


def _expect(before: Changed, change: AssetChange) -> None:
    for name, wanted in change.expect.items():
        there = before.attributes.get(name)
        if there != wanted and not _is_empty_both(there, wanted):
            raise ChangeRefusedError(
                f"{name} isn't what was expected any more: somebody changed it meanwhile.", ErrorName.METADATA_CONFLICT
            )


def _is_empty_both(one: Any, other: Any) -> bool:
    """Unset, and an empty text or list, are the same to people; a store keeps either."""
    return one in _EMPTY and other in _EMPTY


def _with(before: Iterable[Any], added: Iterable[Any]) -> list[Any]:
    """A list as a set, in the order in which its values came."""
    values = list(before)
    for value in added:
        if value not in values:
            values.append(value)
    return values


def _guid(terms: Mapping[str, str], name: str) -> str:
    guid = terms.get(name)
    if guid is None:
        raise ChangeRefusedError(f"There is no glossary term {name}.")
    return guid
