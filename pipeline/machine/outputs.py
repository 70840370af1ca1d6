"""Outputs that move out of the document, and what expressions see of them.

An output over 4 KiB becomes an entity, written in the same transaction as the document that holds its digest; the
largest others follow when the document would pass its limit. The machine itself reads nothing: an expression that needs
one which isn't at hand stops the transition, and whoever makes it reads that output and makes it again.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import ClassVar, Final

from pipeline.core.errors import ErrorName
from pipeline.core.ids import output_name
from pipeline.core.limits import OUTPUT_INLINE_BYTES_MAX, OUTPUT_STAYS_BYTES
from pipeline.machine.effects import KeepOutput
from pipeline.machine.run import Run, StoredOutput, TaskState
from pipeline.messages.canonical import encode
from pipeline.messages.envelopes import OutputRef
from pipeline.messages.outputs import output_text
from pipeline.spec.control import CONTROL_TYPES
from pipeline.spec.expressions import ExpressionError

REFERENCE_BYTES: Final = 128
"""What the document holds of an output that moved."""
LOST: Final = object()
"""Stands at hand for an output that isn't in the store as the engine wrote it."""


class OutputsNeededError(Exception):
    """The transition can't be made without these tasks' outputs (``tasks``), which are entities: hand them in."""

    def __init__(self, tasks: frozenset[str]) -> None:
        """At least one."""
        super().__init__(f"outputs are needed: {', '.join(sorted(tasks))}")
        self.tasks = tasks


class LostOutputError(ExpressionError):
    """An expression reads an output that isn't in the store as the engine wrote it."""

    error_name: ClassVar[ErrorName] = ErrorName.ENGINE_TAMPERED


def lost_output(task: str) -> LostOutputError:
    """The one of that task."""
    return LostOutputError(f"The output of the task '{task}' isn't in the store as the engine kept it.")


def stored_among(read: Collection[str] | None, tasks: Mapping[str, TaskState]) -> frozenset[str]:
    """Of the tasks that an expression reads (``None``: any), those whose output is an entity."""
    names: Iterable[str] = tasks if read is None else read
    return frozenset(name for name in names if name in tasks and tasks[name].stored is not None)


def moved(state: TaskState, run_guid: str, task: str) -> tuple[TaskState, KeepOutput]:
    """The task without its output, and the entity that keeps it."""
    text, sha256 = output_text(state.output)
    size = len(text.encode())
    name = output_name(run_guid, task, state.round, sha256)
    kept = KeepOutput(qualified_name=name, run_guid=run_guid, task=task, text=text, sha256=sha256, bytes=size)
    return replace(state, output=None, stored=StoredOutput(sha256, size)), kept


def too_large_inline(sizes: Mapping[str, int]) -> frozenset[str]:
    """Of outputs that just arrived, by task, those that don't stay in the document whatever its room."""
    return frozenset(name for name, size in sizes.items() if size > OUTPUT_INLINE_BYTES_MAX)


def largest(run: Run, excess: int) -> frozenset[str]:
    """As many outputs of the document, the largest first, as make up for the excess; those of the tasks of control
    stay, since ``depends`` reads them.
    """
    sizes = {
        name: len(encode(state.output))
        for name, state in run.tasks.items()
        if state.output is not None and run.spec.tasks[name].type not in CONTROL_TYPES
    }
    chosen: set[str] = set()
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        if excess <= 0 or sizes[name] <= OUTPUT_STAYS_BYTES:
            break
        chosen.add(name)
        excess -= sizes[name] - REFERENCE_BYTES
    return frozenset(chosen)


def references_of(run: Run, names: Iterable[str]) -> tuple[OutputRef, ...]:
    """Where these tasks' outputs are, sorted by task; each of them is an entity."""
    return tuple(reference for name in sorted(names) if (reference := reference_of(run, name)) is not None)


def reference_of(run: Run, name: str) -> OutputRef | None:
    """Where a task's output is; ``None`` if it isn't an entity."""
    state = run.tasks[name]
    if state.stored is None:
        return None
    entity = output_name(run.guid, name, state.round, state.stored.sha256)
    return OutputRef(task=name, name=entity, sha256=state.stored.sha256, bytes=state.stored.bytes)
