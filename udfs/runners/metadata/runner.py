"""METADATA: changes an asset of the catalog, and reads it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from pipeline.blocks.catalog import Catalog, CatalogAsset, CatalogRefusedError
from pipeline.blocks.contract import (
    Arguments,
    Attempt,
    ChangeIntent,
    Failed,
    Runner,
    Succeeded,
    TagIntent,
    failed,
    succeeded,
)
from pipeline.core.errors import ErrorName
from udfs.runners.metadata.arguments import Classification, MetadataArguments, MetadataOutput, Some

_OWNERS: Final = {"users": "ownerUsers", "groups": "ownerGroups"}
_STATUS: Final = "certificateStatus"
_MESSAGE: Final = "certificateStatusMessage"
_DESCRIPTION: Final = "description"


class MetadataRunner(Runner[MetadataArguments, MetadataOutput]):
    """Reads now; the change travels as an intent and is written with the task's status.

    Repeating is safe: the runner itself changes nothing, and the intent counts once, when the task's success does.
    """

    arguments_type: ClassVar[type[Arguments]] = MetadataArguments
    output_type: ClassVar[type[BaseModel]] = MetadataOutput

    def __init__(self, *, catalog: Catalog) -> None:
        """``catalog`` is where ``read`` looks."""
        self._catalog = catalog

    async def run(self, arguments: MetadataArguments, attempt: Attempt) -> Succeeded[MetadataOutput] | Failed:
        """See :class:`pipeline.blocks.contract.Runner`."""
        named = _named(arguments, attempt)
        if named is None:
            sentence = "asset: the run was started without an asset, so the task has to name one"
            return failed(ErrorName.VALIDATION_INPUT, sentence)
        twice = _twice(arguments)
        if twice:
            sentence = f"{', '.join(twice)} would be changed in two ways at once: keep one of them"
            return failed(ErrorName.VALIDATION_INPUT, sentence)
        output: MetadataOutput | Failed = MetadataOutput(**named)
        if arguments.read:
            output = await self._read(arguments.read, named)
        if isinstance(output, Failed):
            return output
        change = _change(arguments, named)
        return succeeded(output, changes=() if change == ChangeIntent(**named) else (change,))

    async def _read(self, names: list[str], named: Mapping[str, Any]) -> MetadataOutput | Failed:
        try:
            asset = await self._catalog.asset(**named)
        except CatalogRefusedError as error:
            return failed(ErrorName.METADATA_REFUSED, str(error))
        if asset is None:
            return failed(ErrorName.METADATA_REFUSED, f"there is no asset {' '.join(named.values())} (any more)")
        unknown = [name for name in names if name not in asset.known]
        if unknown:
            return failed(ErrorName.METADATA_REFUSED, f"a {asset.type_name} has no attribute {', '.join(unknown)}")
        return _output(names, asset)


def _output(names: list[str], asset: CatalogAsset) -> MetadataOutput:
    return MetadataOutput(
        guid=asset.guid,
        typeName=asset.type_name,
        qualifiedName=asset.qualified_name,
        attributes={name: asset.attributes[name] for name in names if name in asset.attributes},
        classifications={name: dict(given) for name, given in sorted(asset.classifications.items())},
        customAttributes=dict(asset.custom_attributes),
        terms=list(asset.terms),
    )


def _named(arguments: MetadataArguments, attempt: Attempt) -> dict[str, Any] | None:
    """The asset as it was named; the run's own where the task names none."""
    asset = arguments.asset
    if asset is not None:
        return asset.model_dump(exclude_none=True)
    guid = (attempt.asset or {}).get("guid")
    return {"guid": guid} if guid else None


def _twice(arguments: MetadataArguments) -> list[str]:
    """Attributes that two arguments speak of."""
    spoken: list[str] = [*arguments.set]
    spoken += {**arguments.add, **arguments.remove}
    if arguments.description is not None:
        spoken.append(_DESCRIPTION)
    if arguments.certificate is not None:
        spoken += [_STATUS, _MESSAGE]
    owners = arguments.owners
    if owners is not None:
        spoken += [name for part, name in _OWNERS.items() if getattr(owners, part) is not None]
    return sorted({name for name in spoken if spoken.count(name) > 1})


def _change(arguments: MetadataArguments, named: Mapping[str, Any]) -> ChangeIntent:
    wanted: dict[str, Any] = dict(arguments.set)
    add, remove = dict(arguments.add), dict(arguments.remove)
    if arguments.description is not None:
        wanted[_DESCRIPTION] = arguments.description
    if arguments.certificate is not None:
        wanted[_STATUS], wanted[_MESSAGE] = arguments.certificate.status, arguments.certificate.message
    for part, name in _OWNERS.items():
        some: Some | None = getattr(arguments.owners, part, None)
        if some is None:
            continue
        if some.set is not None:
            wanted[name] = list(some.set)
        if some.add:
            add[name] = list(some.add)
        if some.remove:
            remove[name] = list(some.remove)
    custom, tags, terms = arguments.custom_attributes, arguments.classifications, arguments.terms
    return ChangeIntent(
        **named,
        set=wanted,
        add=add,
        remove=remove,
        custom={} if custom is None else {**dict.fromkeys(custom.remove), **custom.set},
        terms_add=() if terms is None else tuple(terms.add),
        terms_remove=() if terms is None else tuple(terms.remove),
        tags=() if tags is None else tuple(map(_tag, tags.add)),
        untag=() if tags is None else tuple(tags.remove),
        expect=dict(arguments.expect),
    )


def _tag(given: str | Classification) -> TagIntent:
    if isinstance(given, str):
        return TagIntent(given)
    return TagIntent(given.type_name, dict(given.attributes), given.propagate)
