"""A run that somebody created straight in Atlas: the shard asks what the API would have asked."""

from collections.abc import Mapping
from typing import Any, Final

from pipeline.core.errors import BlocklineError, ErrorName, InvalidError
from pipeline.core.ids import WORKFLOW_PREFIX
from pipeline.directory.port import Directory, Person
from pipeline.messages.canonical import MalformedError, decode
from pipeline.messages.envelopes import Requester
from pipeline.spec.input_schema import check_input
from pipeline.spec.model import digest
from pipeline.store import types
from pipeline.store.port import Entity, EntityStore, Filter, Query, StoreUnavailableError
from pipeline.store.starting import build_request
from sinks.atlas.answers import NotAdmitted

PUBLISHED: Final = "PUBLISHED"


class Admission:
    """Reads only; asked again for the same entity it gives the same request as long as what it read is the same."""

    def __init__(self, store: EntityStore, directory: Directory, blocks: Mapping[str, Any]) -> None:
        """``blocks`` are the defaults of the installed blocks by type, as requests carry them."""
        self._store = store
        self._directory = directory
        self._blocks = blocks

    async def admit(self, entity: Entity) -> dict[str, Any] | NotAdmitted:
        """The request of the run, unsealed: its requester is who the store says created the entity.

        Raises:
            StoreUnavailableError: it can't be judged now.
        """
        person = await self._person(entity.created_by)
        if person is None or not person.roles:
            return NotAdmitted(ErrorName.AUTH_DENIED, f"{entity.created_by or 'Nobody known'} may not start runs.")
        workflow = await self._workflow(entity)
        if isinstance(workflow, NotAdmitted):
            return workflow
        given = _input_of(entity)
        if isinstance(given, NotAdmitted):
            return given
        return await self._request(entity, person, workflow, given)

    async def groups_of(self, name: str) -> tuple[str, ...]:
        """The groups somebody is in now; none where nobody knows them.

        Raises:
            StoreUnavailableError: the directory of people doesn't answer, so nothing can be judged by it.
        """
        person = await self._person(name)
        return () if person is None else person.groups

    async def _person(self, name: str) -> Person | None:
        try:
            return await self._directory.person(name)
        except BlocklineError as error:
            raise StoreUnavailableError(str(error)) from error

    async def _workflow(self, entity: Entity) -> Entity | NotAdmitted:
        guid = entity.attributes.get(types.RUN_WORKFLOW_GUID)
        if not guid:
            return NotAdmitted(ErrorName.ENGINE_BAD_SPEC, f"The run names no workflow in {types.RUN_WORKFLOW_GUID}.")
        workflow = (await self._store.get([guid])).get(guid)
        if workflow is None or workflow.is_deleted or workflow.type_name != types.WORKFLOW:
            return NotAdmitted(ErrorName.ENGINE_BAD_SPEC, f"There is no workflow with the guid {guid}.")
        if workflow.attributes.get(types.WORKFLOW_STATUS) != PUBLISHED:
            return NotAdmitted(ErrorName.ENGINE_BAD_SPEC, f"The workflow {guid} isn't a published version.")
        if not workflow.attributes.get(types.WORKFLOW_VERSION):
            return await self._latest(workflow)
        return workflow

    async def _latest(self, draft: Entity) -> Entity | NotAdmitted:
        """What a draft was last published as: the draft's own text may be ahead of it."""
        query = Query(
            types.WORKFLOW,
            filters=(
                Filter("qualifiedName", "startsWith", f"{draft.qualified_name}/v"),
                Filter(types.WORKFLOW_VERSION, "gt", 0),
                Filter(types.WORKFLOW_STATUS, "eq", PUBLISHED),
            ),
            sort_by=types.WORKFLOW_VERSION,
            is_descending=True,
            limit=1,
        )
        for found in await self._store.find(query):
            version = (await self._store.get([found.guid])).get(found.guid)
            if version is not None and not version.is_deleted:
                return version
        return NotAdmitted(ErrorName.ENGINE_BAD_SPEC, f"The workflow {draft.guid} has no published version.")

    async def _request(
        self, entity: Entity, person: Person, workflow: Entity, given: dict[str, Any]
    ) -> dict[str, Any] | NotAdmitted:
        spec = _spec_of(workflow)
        if isinstance(spec, NotAdmitted):
            return spec
        problems = check_input(spec.get("input"), given)
        if problems:
            return NotAdmitted(ErrorName.VALIDATION_INPUT, " ".join(problem.detail for problem in problems))
        try:
            return await build_request(
                self._store,
                spec=spec,
                input=given,
                requester=Requester(name=person.name, email=person.email, groups=person.groups),
                asset_guid=entity.attributes.get(types.RUN_ON_ASSET_GUID) or None,
                workflow=_reference(workflow),
                comment=None,
                created_at=entity.created_at,
                blocks=self._blocks,
            )
        except InvalidError as error:
            too_large = error.problems[0].code == ErrorName.ENGINE_TOO_LARGE
            return NotAdmitted(ErrorName.ENGINE_TOO_LARGE if too_large else ErrorName.VALIDATION_INPUT, str(error))


def _spec_of(workflow: Entity) -> dict[str, Any] | NotAdmitted:
    """The published spec, if it is still the one that was published."""
    try:
        spec = decode(workflow.attributes.get(types.WORKFLOW_CONFIG) or "")
    except MalformedError:
        spec = None
    if not isinstance(spec, dict) or digest(spec) != workflow.attributes.get(types.WORKFLOW_DIGEST):
        return NotAdmitted(ErrorName.ENGINE_BAD_SPEC, "The workflow isn't what was published; publish it again.")
    return spec


def _input_of(entity: Entity) -> dict[str, Any] | NotAdmitted:
    text = entity.attributes.get(types.RUN_REQUEST)
    if not text:
        return {}
    try:
        body = decode(text)
    except MalformedError:
        body = None
    if not isinstance(body, dict) or set(body) - {"input"} or not isinstance(body.get("input", {}), dict):
        detail = f'{types.RUN_REQUEST} is a JSON object of the form {{"input": {{…}}}} and nothing else.'
        return NotAdmitted(ErrorName.VALIDATION_INPUT, detail)
    given: dict[str, Any] = body.get("input", {})
    return given


def _reference(workflow: Entity) -> dict[str, Any]:
    given = workflow.attributes
    return {
        "guid": workflow.guid,
        "name": workflow.qualified_name.removeprefix(WORKFLOW_PREFIX).rpartition("/v")[0],
        "version": given.get(types.WORKFLOW_VERSION),
        "digest": given.get(types.WORKFLOW_DIGEST),
        "owner": given.get(types.WORKFLOW_CREATED_BY),
    }
