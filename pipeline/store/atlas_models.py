"""The engine's types as pyatlan's models: what a write is validated by and sent as.

Importing this takes 3 s and 135 MiB, for pyatlan does; only :mod:`pipeline.store.atlas` does it, when first needed.

pyatlan's own attribute classes have 227 fields and validate each entity three times: 0.42 ms of CPU an entity in a bulk
of 100. With attribute classes that have our attributes only it is 0.18 ms (docs/adr/0008-pyatlan-adapter.md). An
attribute that isn't here is refused instead of being dropped silently.
"""

from typing import Any, ClassVar, Final

from pyatlan.model.assets import Asset, Task, Workflow, WorkflowRun
from pyatlan.model.assets.core.referenceable import Referenceable
from pydantic.v1 import Extra, Field, StrictInt, StrictStr, ValidationError, validator

from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.store.plain import plain_body
from pipeline.store.port import StoreRefusedError

# pyatlan has no types for a checker, and its pydantic is version 1: hence the one kind of exception below.


class OwnAttributes(Referenceable.Attributes):  # type: ignore[misc]
    """What all of the engine's types have; times are milliseconds as integers, as they are on the wire."""

    class Config:
        """Unknown attributes are mistakes of ours."""

        extra = Extra.forbid

    name: StrictStr | None = None
    description: StrictStr | None = None


class RunAttributes(OwnAttributes):
    """Of ``WorkflowRun``."""

    workflow_run_request: StrictStr | None = None
    workflow_run_config: StrictStr | None = None
    workflow_run_status: StrictStr | None = None
    workflow_run_wake_at: StrictInt | None = None
    workflow_run_workflow_guid: StrictStr | None = None
    workflow_run_on_asset_guid: StrictStr | None = None
    workflow_run_expires_at: StrictInt | None = None
    workflow_run_created_by: StrictStr | None = None


class WorkflowAttributes(OwnAttributes):
    """Of ``Workflow``."""

    workflow_config: StrictStr | None = None
    workflow_status: StrictStr | None = None
    workflow_version: StrictInt | None = None
    workflow_digest: StrictStr | None = None
    workflow_created_by: StrictStr | None = None
    workflow_labels: StrictStr | None = None


class ItemAttributes(OwnAttributes):
    """Of ``Task``, an inbox item."""

    workflow_task_run_guid: StrictStr | None = None
    workflow_task_name: StrictStr | None = None
    workflow_task_status: StrictStr | None = None
    workflow_task_opened_at: StrictInt | None = None
    workflow_task_body: StrictStr | None = None
    workflow_task_asset: StrictStr | None = None
    workflow_task_options: StrictStr | None = None
    workflow_task_form: StrictStr | None = None
    task_recipient: StrictStr | None = None
    task_requestor: StrictStr | None = None
    task_related_asset_guid: StrictStr | None = None
    task_expires_at: StrictInt | None = None
    task_execution_action: StrictStr | None = None
    task_execution_comment: StrictStr | None = None
    task_updated_by: StrictStr | None = None


class CommandAttributes(OwnAttributes):
    """Of ``WorkflowRunCommand``."""

    workflow_run_command_run_guid: StrictStr | None = None
    workflow_run_command_request: StrictStr | None = None
    workflow_run_command_status: StrictStr | None = None
    workflow_run_command_reason: StrictStr | None = None
    workflow_run_command_at: StrictInt | None = None


class OutputAttributes(OwnAttributes):
    """Of ``WorkflowRunOutput``."""

    workflow_run_output_run_guid: StrictStr | None = None
    workflow_run_output_task: StrictStr | None = None
    workflow_run_output_text: StrictStr | None = None
    workflow_run_output_sha256: StrictStr | None = None
    workflow_run_output_bytes: StrictInt | None = None


class DeadLetterAttributes(OwnAttributes):
    """Of ``WorkflowDeadLetter``."""

    workflow_dead_letter_reason: StrictStr | None = None
    workflow_dead_letter_vertex: StrictStr | None = None
    workflow_dead_letter_run_guid: StrictStr | None = None
    workflow_dead_letter_payload: StrictStr | None = None
    workflow_dead_letter_bytes: StrictInt | None = None
    workflow_dead_letter_sha256: StrictStr | None = None
    workflow_dead_letter_offset: StrictStr | None = None
    workflow_dead_letter_at: StrictInt | None = None
    workflow_dead_letter_replay: StrictStr | None = None
    workflow_dead_letter_replay_status: StrictStr | None = None
    workflow_dead_letter_replay_by: StrictStr | None = None
    workflow_dead_letter_replay_at: StrictInt | None = None
    workflow_dead_letter_replayed_at: StrictInt | None = None
    workflow_dead_letter_replay_note: StrictStr | None = None


class AnyAttributes(Referenceable.Attributes):  # type: ignore[misc]
    """Of types that aren't ours (assets): everything goes out as it was given."""

    class Config:
        """Atlas is the judge of other people's attributes."""

        extra = Extra.allow


class Run(WorkflowRun, type_name=types.RUN):  # type: ignore[misc,call-arg]
    """pyatlan's ``WorkflowRun`` with the engine's attributes."""

    attributes: RunAttributes = Field(default_factory=RunAttributes)


class WorkflowModel(Workflow, type_name=types.WORKFLOW):  # type: ignore[misc,call-arg]
    """pyatlan's ``Workflow`` with the engine's attributes."""

    attributes: WorkflowAttributes = Field(default_factory=WorkflowAttributes)


class Item(Task, type_name=types.ITEM):  # type: ignore[misc,call-arg]
    """pyatlan's ``Task`` with the engine's attributes."""

    attributes: ItemAttributes = Field(default_factory=ItemAttributes)


class _Own(Asset):  # type: ignore[misc]
    """A type that pyatlan doesn't know: it needs a validator of its name of its own."""

    own_type: ClassVar[str] = ""

    @validator("type_name", check_fields=False)
    def validate_type_name(cls, value: str) -> str:  # noqa: N805  (pydantic 1's validators are class methods)
        """The only name this model may have."""
        if value != cls.own_type:
            raise ValueError(f"must be {cls.own_type}")
        return value


class Command(_Own, type_name=types.COMMAND):  # type: ignore[call-arg]
    """The engine's ``WorkflowRunCommand``."""

    own_type: ClassVar[str] = types.COMMAND
    type_name: str = Field(default=types.COMMAND, allow_mutation=False)
    attributes: CommandAttributes = Field(default_factory=CommandAttributes)


class Output(_Own, type_name=types.OUTPUT):  # type: ignore[call-arg]
    """The engine's ``WorkflowRunOutput``."""

    own_type: ClassVar[str] = types.OUTPUT
    type_name: str = Field(default=types.OUTPUT, allow_mutation=False)
    attributes: OutputAttributes = Field(default_factory=OutputAttributes)


class DeadLetter(_Own, type_name=types.DEAD_LETTER):  # type: ignore[call-arg]
    """The engine's ``WorkflowDeadLetter``."""

    own_type: ClassVar[str] = types.DEAD_LETTER
    type_name: str = Field(default=types.DEAD_LETTER, allow_mutation=False)
    attributes: DeadLetterAttributes = Field(default_factory=DeadLetterAttributes)


class OtherAsset(Asset, type_name="_OtherAsset"):  # type: ignore[misc,call-arg]
    """An entity of any other type."""

    type_name: str = Field(default="Asset", allow_mutation=False)

    @validator("type_name")
    def validate_type_name(cls, value: str) -> str:  # noqa: N805  (see above)
        """Any name: Atlas is the judge."""
        return value

    attributes: AnyAttributes = Field(default_factory=AnyAttributes)


MODELS: Final[dict[str, Any]] = {
    types.RUN: (Run, RunAttributes),
    types.WORKFLOW: (WorkflowModel, WorkflowAttributes),
    types.ITEM: (Item, ItemAttributes),
    types.COMMAND: (Command, CommandAttributes),
    types.OUTPUT: (Output, OutputAttributes),
    types.DEAD_LETTER: (DeadLetter, DeadLetterAttributes),
}


def model_of(write: EntityWrite, guid: str) -> Any:
    """The model to send; ``guid`` is the entity's, or negative: then Atlas finds it by its qualified name, and says
    what it became.

    Attributes that are None keep their values in Atlas, so they are left out; those to be unset are sent as null.

    Raises:
        StoreRefusedError: an attribute that the type hasn't, or a value of the wrong kind.
    """
    given = {name: value for name, value in write.attributes.items() if value is not None}
    model, attributes = MODELS.get(write.type_name, (OtherAsset, AnyAttributes))
    given |= dict.fromkeys(write.unset or ())
    named: dict[str, Any] = {} if write.type_name in MODELS else {"type_name": write.type_name}
    if write.custom_attributes is not None:
        named["custom_attributes"] = write.custom_attributes
    if write.terms is not None:
        terms = [{"guid": term, "typeName": types.TERM} for term in write.terms]
        named["relationship_attributes"] = {types.MEANINGS: terms}
    try:
        values = attributes(**{**given, "qualifiedName": write.qualified_name})
        return model(guid=guid, attributes=values, **named)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StoreRefusedError(f"{write.type_name} {write.qualified_name}: {where}: {first['msg']}") from None


def body_of(write: EntityWrite, guid: str) -> dict[str, Any]:
    """The entity as ``asset.save`` would send it.

    A plain write is what the model would dump (:mod:`pipeline.store.plain`); every other one is made into the model,
    and refused by it.

    Raises:
        StoreRefusedError: as :func:`model_of`.
    """
    body = plain_body(write, guid)
    if body is None:
        body = model_of(write, guid).dict(by_alias=True, exclude_unset=True)
        body["businessAttributes"] = None
    return body
