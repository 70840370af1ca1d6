"""What the author of a block writes against: arguments, output, one ``run``.

A block imports this module and ``pipeline.core`` only.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from pipeline.core.errors import ErrorName
from pipeline.core.ids import EffectKey


class Arguments(BaseModel):
    """Base of a block's arguments: unknown keys are refused, values don't change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Output(BaseModel):
    """Base of a block's output."""

    model_config = ConfigDict(frozen=True, extra="forbid")


A = TypeVar("A", bound=Arguments)
O = TypeVar("O", bound=Output)  # noqa: E741  (the pair reads A, O)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one task, as the runner sees it.

    ``effect_key`` is the same for every delivery and attempt of a step: send it along as the idempotency key.
    ``state`` and ``cause`` are set when a WAITING task goes on: ``state`` is what was returned with
    :func:`waiting`, ``cause`` what asked for it. ``now_ms`` is the time stored with the dispatch, so a repeat sees
    the same.
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


@dataclass(frozen=True, slots=True)
class EntityIntent:
    """An entity the engine writes in the same transaction as the task's status."""

    type_name: str
    qualified_name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Succeeded(Generic[O]):
    """The attempt did it."""

    output: O
    entities: tuple[EntityIntent, ...] = ()


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


def succeeded(output: O, *, entities: tuple[EntityIntent, ...] = ()) -> Succeeded[O]:
    """The attempt did it."""
    return Succeeded(output, entities)


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
    was lost. What it needs (mail, directory) is handed to its constructor.
    """

    arguments_type: ClassVar[type[Arguments]]
    output_type: ClassVar[type[Output]]

    @abstractmethod
    async def run(self, arguments: A, attempt: Attempt) -> Succeeded[O] | Failed | Waiting:
        """One attempt. Cancelled when it exceeds its time-out. An exception becomes ``Task.Failed``."""
