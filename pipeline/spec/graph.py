"""What follows from the shape of a spec: cycles, tasks that can never run, outputs that may not be there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Final, NamedTuple

from pipeline.core.errors import ErrorName
from pipeline.core.statuses import TaskStatus
from pipeline.spec.depends import And, DependsResult, Node, Not, Operand, Or, names
from pipeline.spec.truth import evaluate

_COMBINATIONS_MAX: Final = 4096
"""Beyond it a ``depends`` counts as one that can be true."""
_NOT_RUN: Final = frozenset({DependsResult.DONE, DependsResult.OMITTED, DependsResult.CANCELLED})
"""Results that don't say that the task's own ``depends`` was true."""


class Ending(NamedTuple):
    """One way in which a task may end; ``error`` and ``case`` where they matter."""

    status: TaskStatus
    error: str | None = None
    case: str | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a task matters here."""

    depends: Node | None
    is_human: bool
    is_decided_at_once: bool
    has_when: bool
    cases: tuple[str | None, ...] = (None,)
    """What a SWITCH may take, ``None`` for no case; other tasks take none."""

    def endings(self) -> tuple[Ending, ...]:
        """The ways in which the task may end."""
        endings = [Ending(TaskStatus.SUCCESS, case=case) for case in self.cases]
        endings += [Ending(TaskStatus.FAILURE), Ending(TaskStatus.CANCELLED)]
        if self.depends is not None:
            endings.append(Ending(TaskStatus.OMITTED))
        if self.has_when:
            endings.append(Ending(TaskStatus.SKIPPED))
        if not self.is_decided_at_once:
            endings.append(Ending(TaskStatus.TIMED_OUT))
        if self.is_human:
            endings += [Ending(TaskStatus.EXPIRED), Ending(TaskStatus.FAILURE, ErrorName.APPROVAL_REJECTED)]
        return tuple(endings)


Shapes = Mapping[str, Shape]


def in_order(shapes: Shapes) -> tuple[list[str], list[list[str]]]:
    """The tasks so that each comes after what it needs, and the cycles (each a path that returns to its start)."""
    done: set[str] = set()
    on_path: dict[str, int] = {}
    order: list[str] = []
    cycles: list[list[str]] = []
    for root in shapes:
        stack: list[tuple[str, Iterator[str]]] = []
        if root not in done:
            stack.append((root, iter(names(shapes[root].depends))))
            on_path[root] = 0
        while stack:
            name, needs = stack[-1]
            needed = next(needs, None)
            if needed is None:
                stack.pop()
                del on_path[name]
                done.add(name)
                order.append(name)
            elif needed in on_path:
                cycles.append([*(entry for entry, _ in stack[on_path[needed] :]), needed])
            elif needed in shapes and needed not in done:
                on_path[needed] = len(stack)
                stack.append((needed, iter(names(shapes[needed].depends))))
    return order, cycles


def can_run(name: str, shapes: Shapes, never: set[str]) -> bool:
    """Whether the ``depends`` of a task can be true at all; ``never`` holds tasks that can't run."""
    node = shapes[name].depends
    needed = names(node)
    endings = [_endings(shapes, need, need in never) for need in needed]
    if prod(len(options) for options in endings) > _COMBINATIONS_MAX:
        return True
    for combination in product(*endings):
        ended = dict(zip(needed, combination, strict=True))
        if _is_true(node, ended):
            return True
    return False


def _is_true(node: Node | None, ended: Mapping[str, Ending]) -> bool:
    truth = evaluate(
        node,
        lambda name: ended[name].status,
        error_of=lambda name: ended[name].error,
        case_of=lambda name: ended[name].case,
    )
    return truth is True


def _endings(shapes: Shapes, name: str, is_never: bool) -> tuple[Ending, ...]:  # noqa: FBT001  (a fact of the name beside it)
    if is_never:
        return (Ending(TaskStatus.OMITTED), Ending(TaskStatus.CANCELLED))
    return shapes[name].endings()


def certain_successes(order: list[str], shapes: Shapes) -> dict[str, frozenset[str]]:
    """For each task the tasks that have certainly ended SUCCESS when it runs."""
    certain: dict[str, frozenset[str]] = {}
    for name in order:
        certain[name] = _certain(shapes[name].depends, shapes, certain)
    return certain


def _certain(node: Node | None, shapes: Shapes, certain: Mapping[str, frozenset[str]]) -> frozenset[str]:
    match node:
        case Operand(task, result, asked_case):
            if result in _NOT_RUN or task not in shapes:
                return frozenset()
            is_success = result in {DependsResult.SUCCESS, DependsResult.APPROVED}
            is_success |= asked_case is not None or (result is None and not shapes[task].has_when)
            return certain.get(task, frozenset()) | (frozenset({task}) if is_success else frozenset())
        case And(nodes):
            return frozenset().union(*(_certain(inner, shapes, certain) for inner in nodes))
        case Or(nodes):
            sets = [_certain(inner, shapes, certain) for inner in nodes]
            return sets[0].intersection(*sets[1:])
        case Not() | None:
            return frozenset()
