"""A run as the API knows it: its verified document, or what its request would start as."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.problems import not_found
from api.services import Services
from pipeline.core.errors import BlocklineError, ErrorName
from pipeline.core.statuses import RunPhase, RunStatus, TaskStatus
from pipeline.machine.document import to_document
from pipeline.messages.canonical import MalformedError
from pipeline.messages.seal import Sealed, is_signed
from pipeline.store import types
from pipeline.store.port import Entity


@dataclass(frozen=True, slots=True)
class KnownRun:
    """One run at one moment.

    ``document`` is None for a run that isn't admitted yet, or whose texts weren't signed by this engine; the rest is
    then what the store says. Times are Unix ms.
    """

    guid: str
    document: Mapping[str, Any] | None
    created_by: str
    created_at: int
    updated_at: int
    stored_status: str
    is_tampered: bool = False

    @property
    def engine(self) -> Mapping[str, Any]:
        """The engine's part of the document; empty without one."""
        part: Mapping[str, Any] = self.document["engine"] if self.document else {}
        return part

    @property
    def asked(self) -> Mapping[str, Any]:
        """Input, requester, asset, workflow; empty without a document."""
        part: Mapping[str, Any] = self.document["run"] if self.document else {}
        return part

    @property
    def status(self) -> str:
        """A RunStatus."""
        return str(self.engine.get("status") or self.stored_status)

    @property
    def is_over(self) -> bool:
        """Whether the status is final."""
        return self.status != RunStatus.PENDING

    @property
    def revision(self) -> int:
        """Rises by one a write of the engine; 0 before the first."""
        return int(self.engine.get("revision", 0))

    @property
    def paused(self) -> Mapping[str, Any] | None:
        """Who paused it, when and why; None where it isn't paused."""
        paused: Mapping[str, Any] | None = self.engine.get("paused")
        return paused

    @property
    def requester(self) -> str:
        """Who started it."""
        return str((self.asked.get("requester") or {}).get("name") or self.created_by)

    @property
    def workflow(self) -> Mapping[str, Any] | None:
        """What it is a run of; None for a spec of its own."""
        workflow: Mapping[str, Any] | None = self.asked.get("workflow")
        return workflow


def known(services: Services, entity: Entity) -> KnownRun:
    """The run of an entity that was read with all its texts."""
    attributes = entity.attributes
    document: Mapping[str, Any] | None = None
    is_tampered = False
    config, request = attributes.get(types.RUN_CONFIG), attributes.get(types.RUN_REQUEST) or ""
    try:
        if config:
            document = opened(services, entity.guid, config)
        elif request:
            document = started(services, entity.qualified_name, entity.guid, request)
    except BlocklineError:
        is_tampered = bool(config) or is_signed(request)
    return KnownRun(
        guid=entity.guid,
        document=document,
        created_by=str(attributes.get(types.RUN_CREATED_BY) or entity.created_by),
        created_at=entity.created_at,
        updated_at=entity.updated_at,
        stored_status=str(attributes.get(types.RUN_STATUS) or RunStatus.PENDING),
        is_tampered=is_tampered,
    )


def opened(services: Services, guid: str, text: str) -> dict[str, Any]:
    """A verified document; not to be changed.

    Raises:
        TamperedError: this engine didn't sign it.
        MalformedError: it isn't a document.
    """
    kept = services.opened.kept(guid, text)
    if kept is not None:
        return to_document(kept)
    document = services.seal.open(Sealed.DOCUMENT, guid, text)
    if not isinstance(document.get("engine"), dict) or not isinstance(document.get("run"), dict):
        raise MalformedError("not a run's document")
    return document


def started(services: Services, qualified_name: str, guid: str, request: str) -> dict[str, Any]:
    """The document of a run that is a request yet: what ``start`` makes of it; not to be changed.

    Raises:
        TamperedError: this engine didn't sign the request.
        MalformedError: it isn't a request.
    """
    return to_document(services.opened.started(qualified_name, guid, request).run)


def with_document(run: KnownRun, document: Mapping[str, Any], at: int) -> KnownRun:
    """The same run with a newer document, as an event carried it."""
    return KnownRun(run.guid, document, run.created_by, run.created_at, at, run.stored_status)


async def read(services: Services, guid: str) -> KnownRun:
    """The run of that guid.

    Raises:
        ApiError: 404.
    """
    entity = (await services.store.get([guid])).get(guid)
    if entity is None or entity.is_deleted or entity.type_name != types.RUN:
        raise not_found("run")
    return known(services, entity)


def output_of(run: KnownRun) -> Any:
    """The output of its one successful exitpoint, or of several by task name; None while it lives."""
    if run.document is None or not run.is_over:
        return None
    dag = run.document["dag"]
    outputs = {
        task["name"]: task.get("output")
        for task in dag["tasks"]
        if task["name"] in dag["exitpoints"] and task["status"] == TaskStatus.SUCCESS
    }
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs or None


def phase_of(run: KnownRun) -> str:
    """A RunPhase."""
    default = RunPhase.ENDED if run.is_over else RunPhase.RUNNING
    return str(run.engine.get("phase") or default)


def error_of(run: KnownRun) -> Mapping[str, str] | None:
    """Why it failed, or that its texts were changed by somebody else."""
    if run.is_tampered:
        return {
            "name": ErrorName.ENGINE_TAMPERED.value,
            "message": "The texts of this run in the store weren't written by this engine.",
        }
    error: Mapping[str, str] | None = run.engine.get("error")
    return error
