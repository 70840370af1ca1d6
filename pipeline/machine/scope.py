"""What an expression sees: stored values only, so that a repeat sees the same."""

from collections.abc import Mapping
from typing import Any

from pipeline.machine.run import Request, Run, TaskState


def task_scope(state: TaskState, stored: Any = None) -> dict[str, Any]:
    """One entry of ``tasks``; without ``output`` where the task has none. ``stored`` is the output that is an entity,
    where it is at hand.
    """
    output = state.output if state.stored is None else stored
    if output is None:
        return {"status": state.status.value}
    return {"status": state.status.value, "output": output}


def scope_of_tasks(
    request: Request, tasks: Mapping[str, TaskState], now_ms: int, outputs: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The scope of a run's expressions with these task states; see :func:`scope_of`. ``outputs`` are those at hand of
    the outputs that are entities.
    """
    at_hand = outputs or {}
    requester = request.requester
    return {
        "run": {
            "input": request.input,
            "requester": {
                "name": requester.name,
                "email": requester.email,
                "groups": list(requester.groups),
            },
        },
        "tasks": {name: task_scope(state, at_hand.get(name)) for name, state in tasks.items()},
        "asset": request.asset,
        "now": now_ms,
    }


def scope_of(run: Run, now_ms: int) -> dict[str, Any]:
    """The scope that the port :class:`~pipeline.spec.expressions.Evaluator` describes; a new dict of shared values.

    ``now_ms`` is the time stored with the decision or the dispatch, never the clock's.
    """
    return scope_of_tasks(run.request, run.tasks, now_ms)
