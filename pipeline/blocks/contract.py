"""What the author of a block writes against: arguments, output, one ``run``.

A block imports this module and ``pipeline.core`` only.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, RootModel
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from pipeline.core.errors import ErrorName
from pipeline.core.ids import EffectKey

NOT_AVAILABLE: Final = "not_available"
"""Type of the validation error of :data:`NotYet` and :func:`available`."""


class Arguments(BaseModel):
    """Base of a block's arguments: unknown keys are refused, values don't change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Output(BaseModel):
    """Base of a block's output."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ValueOutput(RootModel[JsonValue]):
    """An output that is any JSON value, as it stands."""

    model_config = ConfigDict(frozen=True)


MISFIT: Final = "misfit"
"""Type of the error of :func:`misfit`."""


def misfit(sentence: str) -> PydanticCustomError:
    """What a model's own validator raises where arguments don't fit together, whatever their templates become."""
    return PydanticCustomError(MISFIT, "{sentence}", {"sentence": sentence})


def _not_yet(value: Any) -> Any:
    if value is None or value is False:
        return value
    raise PydanticCustomError(NOT_AVAILABLE, "isn't available in this version")


NotYet = Annotated[JsonValue, BeforeValidator(_not_yet), SkipJsonSchema()]
"""An argument that the language has and this version of the block hasn't: left out of forms, refused when it is set."""


def available(*values: str) -> BeforeValidator:
    """Only these values of an argument are there in this version; the sentence names them."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value not in values:
            raise PydanticCustomError(
                NOT_AVAILABLE,
                "can only be {values} in this version",
                {"values": _or(values)},
            )
        return value

    return BeforeValidator(check)


def _or(values: tuple[str, ...]) -> str:
    return " or ".join(values)


A = TypeVar("A", bound=Arguments)
O = TypeVar("O", bound=BaseModel)  # noqa: E741  (the pair reads A, O)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one task, as the runner sees it.

    ``effect_key`` is the same for every delivery and attempt of a step: send it along as the idempotency key.
    ``state`` and ``cause`` are set when a WAITING task goes on: ``state`` is what was returned with
    :func:`waiting`, ``cause`` what asked for it. ``now_ms`` is the time stored with the dispatch, so a repeat sees
    the same. ``traceparent`` is the W3C header of this attempt's span, None where the run isn't traced: hand it to a
    port, which knows who may have it.
    """

    effect_key: EffectKey
    attempt: int
    now_ms: int
    run_name: str
    requester_name: str
    workflow: str | None = None
    title: str | None = None
    requester_email: str | None = None
    requester_groups: tuple[str, ...] = ()
    asset: Mapping[str, Any] | None = None
    cause: str | None = None
    state: Mapping[str, Any] | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class EntityIntent:
    """An entity the engine writes in the same transaction as the task's status."""

    type_name: str
    qualified_name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TagIntent:
    """A classification to put on an asset; ``propagate`` None leaves it as it is (a new one propagates)."""

    type_name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    propagate: bool | None = None


@dataclass(frozen=True, slots=True)
class ChangeIntent:
    """A change of an asset that exists, made in the same transaction as the task's status (classifications just before
    it), against what the store has at that moment.

    The asset is named by ``guid``, or by ``type_name`` and ``qualified_name``. ``set`` gives attributes a value (None
    unsets one); ``add`` and ``remove`` change lists as sets. ``custom`` are custom attributes (None removes one),
    ``terms_add`` and ``terms_remove`` glossary terms by guid or qualified name. ``expect`` names values that must hold,
    else the task fails ``Metadata.Conflict``; what can't be made fails it ``Metadata.Refused``.
    """

    guid: str | None = None
    type_name: str | None = None
    qualified_name: str | None = None
    set: Mapping[str, Any] = field(default_factory=dict)
    add: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    remove: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    custom: Mapping[str, str | None] = field(default_factory=dict)
    terms_add: tuple[str, ...] = ()
    terms_remove: tuple[str, ...] = ()
    tags: tuple[TagIntent, ...] = ()
    untag: tuple[str, ...] = ()
    expect: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Succeeded(Generic[O]):
    """The attempt did it."""

    output: O
    entities: tuple[EntityIntent, ...] = ()
    changes: tuple[ChangeIntent, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed, by a name of the closed list; the task's retriers decide what follows.

    ``message`` is shown to people: no secret, no stack trace. ``retry_after_s`` is what the service asked for.
    """

    name: ErrorName
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The task waits for a person, a time or a system; ``state`` (a small JSON object) comes back
    with the continuation. ``continue_at`` (Unix ms) and ``continue_cause`` ask for one then.
    """

    state: Mapping[str, Any]
    continue_at: int | None = None
    continue_cause: str | None = None
    entities: tuple[EntityIntent, ...] = ()


def succeeded(
    output: O, *, entities: tuple[EntityIntent, ...] = (), changes: tuple[ChangeIntent, ...] = ()
) -> Succeeded[O]:
    """The attempt did it."""
    return Succeeded(output, entities, changes)


def failed(name: ErrorName, message: str = "", *, retry_after_s: float | None = None) -> Failed:
    """The attempt failed; see :class:`Failed`."""
    return Failed(name, message, retry_after_s)


def waiting(
    state: Mapping[str, Any],
    *,
    continue_at: int | None = None,
    continue_cause: str | None = None,
    entities: tuple[EntityIntent, ...] = (),
) -> Waiting:
    """The task waits; see :class:`Waiting`."""
    return Waiting(state, continue_at, continue_cause, entities)


class Runner(ABC, Generic[A, O]):
    """Makes attempts of one type of task.

    One instance serves a whole vertex; ``run`` may be called concurrently, and again for an attempt whose result
    was lost. What it needs is handed to its constructor by keyword, under the names that ``needs`` of its manifest
    lists (``mailer``, ``directory``).
    """

    arguments_type: ClassVar[type[Arguments]]
    output_type: ClassVar[type[BaseModel]]
    """An :class:`Output`, or :class:`ValueOutput`."""

    @abstractmethod
    async def run(self, arguments: A, attempt: Attempt) -> Succeeded[O] | Failed | Waiting:
        """One attempt. Cancelled when it exceeds its time-out. An exception becomes ``Task.Failed``."""
