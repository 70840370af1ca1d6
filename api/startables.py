"""What a run can be started of: a version of a workflow, found in the store and kept while nothing changes there."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.locks import Locks
from api.problems import ApiError, not_found
from api.workflow_texts import Stored, by_guid, by_name, draft_of, latest_version, one_version
from pipeline.spec.model import digest
from pipeline.store.port import EntityStore

KEPT_MAX: Final = 256
KEPT_S: Final = 5.0
"""Believed this long at most, should the topic be silent because the broker is away."""


@dataclass(frozen=True, slots=True)
class Startable:
    """A normalised spec and what it is a version of."""

    spec: Mapping[str, Any]
    workflow: Mapping[str, Any] | None

    @property
    def guid(self) -> str | None:
        """The workflow's."""
        return None if self.workflow is None else self.workflow["guid"]


class Startables:
    """A start reads up to three entities that hardly ever change: they are kept until somebody writes a workflow."""

    def __init__(self) -> None:
        """Nothing is kept yet."""
        self._reading = Locks()
        self._kept: OrderedDict[tuple[str, int | None], tuple[Startable, int, float]] = OrderedDict()

    async def find(self, store: EntityStore, wanted: str, number: int | None, *, epoch: int, now_s: float) -> Startable:
        """The version of the workflow ``wanted`` (guid or name) to start; its latest published one without ``number``.

        ``epoch``: :attr:`api.hub.Hub.workflows_epoch` before this call.

        Raises:
            ApiError: 404 where there is none, 409 where it is disabled, unpublished or was changed by hand.
        """
        key = (wanted, number)
        startable = self._known(key, epoch, now_s)
        if startable is not None:
            return startable
        # When it is no longer believed, everybody who starts runs needs it at once: one reads it for all of them.
        async with self._reading.hold(f"{number} {wanted}"):
            startable = self._known(key, epoch, now_s)
            if startable is None:
                startable = await _read(store, wanted, number)
                self._keep(key, startable, epoch, now_s + KEPT_S)
        return startable

    def _keep(self, key: tuple[str, int | None], startable: Startable, epoch: int, until_s: float) -> None:
        self._kept[key] = (startable, epoch, until_s)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    def _known(self, key: tuple[str, int | None], epoch: int, now_s: float) -> Startable | None:
        kept = self._kept.get(key)
        return kept[0] if kept is not None and kept[1] >= epoch and now_s < kept[2] else None


async def _read(store: EntityStore, wanted: str, number: int | None) -> Startable:
    draft, version = await _version(store, wanted, number)
    spec = version.spec
    if not isinstance(spec, dict) or digest(spec) != version.digest:
        raise ApiError("conflict", "This version was changed by hand in the store; publish the workflow again.")
    workflow = {
        "guid": draft.entity.guid,
        "name": draft.name,
        "version": version.version,
        "digest": version.digest,
        "owner": draft.owner,
    }
    return Startable(spec, workflow)


async def _version(store: EntityStore, wanted: str, number: int | None) -> tuple[Stored, Stored]:
    """The draft and the version to start: the one asked for, or the latest published one."""
    found = await by_name(store, wanted) or await by_guid(store, wanted)
    draft = None if found is None else await draft_of(store, found)
    if found is None or draft is None:
        raise not_found("workflow")
    if draft.status == "DISABLED":
        raise ApiError("conflict", f"The workflow {draft.name} is disabled.")
    if number is None and found.version:
        number = found.version
    if number is None:
        latest = await latest_version(store, draft)
        if latest is None:
            raise ApiError("conflict", f"The workflow {draft.name} isn't published yet.")
        number = latest.version
    version = await one_version(store, draft, number)
    if version is None:
        raise not_found("version of this workflow")
    if version.status != "PUBLISHED":
        raise ApiError("conflict", f"Version {number} of {draft.name} is disabled.")
    return draft, version
