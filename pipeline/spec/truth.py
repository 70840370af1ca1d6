"""What a ``depends`` means: three-valued (Kleene) truth over the statuses of tasks that have ended."""

from collections.abc import Callable, Container, Iterable
from typing import Final

from pipeline.core.errors import ErrorName
from pipeline.core.statuses import FAILED_ANY, TERMINAL, TaskStatus
from pipeline.spec.depends import And, DependsError, DependsResult, Node, Not, Operand, Or

Truth = bool | None
"""``None`` is unknown: it depends on tasks that haven't ended."""
StatusOf = Callable[[str], TaskStatus | None]
ErrorOf = Callable[[str], str | None]
CaseOf = Callable[[str], str | None]

EXPLICIT_FAILURES: Final = frozenset(
    {
        DependsResult.FAILURE,
        DependsResult.FAILED_ANY,
        DependsResult.REJECTED,
        DependsResult.EXPIRED,
        DependsResult.TIMED_OUT,
        DependsResult.ALL_FAILURE,
    }
)
"""Results by which a task says that it expects another's failure, and so handles it."""

_STATUSES: Final = {
    None: frozenset({TaskStatus.SUCCESS, TaskStatus.SKIPPED}),
    DependsResult.SUCCESS: frozenset({TaskStatus.SUCCESS}),
    DependsResult.FAILURE: frozenset({TaskStatus.FAILURE}),
    DependsResult.TIMED_OUT: frozenset({TaskStatus.TIMED_OUT}),
    DependsResult.EXPIRED: frozenset({TaskStatus.EXPIRED}),
    DependsResult.SKIPPED: frozenset({TaskStatus.SKIPPED}),
    DependsResult.OMITTED: frozenset({TaskStatus.OMITTED}),
    DependsResult.CANCELLED: frozenset({TaskStatus.CANCELLED}),
    DependsResult.APPROVED: frozenset({TaskStatus.SUCCESS}),
    DependsResult.REJECTED: frozenset({TaskStatus.FAILURE}),
    DependsResult.FAILED_ANY: FAILED_ANY,
    DependsResult.COMPLETED: FAILED_ANY | {TaskStatus.SUCCESS},
    DependsResult.DONE: TERMINAL,
}


def _nothing(_: str) -> str | None:
    return None


def evaluate(
    node: Node | None,
    status_of: StatusOf,
    *,
    error_of: ErrorOf = _nothing,
    case_of: CaseOf = _nothing,
    blind: Container[str] = (),
) -> Truth:
    """Whether the ``depends`` holds: ``True``, ``False``, or ``None`` while that isn't certain.

    ``status_of(name)`` is a task's status (one that isn't terminal counts as not ended, as does ``None``).
    ``error_of(name)`` is the error name of a task that ended FAILURE: it tells REJECTED. ``case_of(name)`` is the case
    that a SWITCH took; ending otherwise than SUCCESS it took none. For the tasks in ``blind``
    explicit failure results read as false once they ended: so rule 1 of the run's status asks whether a failure
    was handled. ``None`` as node is a root: true.

    Raises:
        DependsError: a result of a FOR_EACH, which validation refuses in this version.
    """
    match node:
        case None:
            return True
        case Operand():
            return _operand(node, status_of, error_of, case_of, blind)
        case Not(inner):
            truth = evaluate(inner, status_of, error_of=error_of, case_of=case_of, blind=blind)
            return None if truth is None else not truth
        case And(nodes):
            return _all(evaluate(inner, status_of, error_of=error_of, case_of=case_of, blind=blind) for inner in nodes)
        case Or(nodes):
            return _any(evaluate(inner, status_of, error_of=error_of, case_of=case_of, blind=blind) for inner in nodes)


def is_handled(
    node: Node | None, task: str, status_of: StatusOf, *, error_of: ErrorOf = _nothing, case_of: CaseOf = _nothing
) -> bool:
    """Whether a task that ran with this ``depends`` handles the failure of ``task``.

    It does if the ``depends`` is true, but wouldn't be with ``task``'s explicit failure results read as false.
    """
    if evaluate(node, status_of, error_of=error_of, case_of=case_of) is not True:
        return False
    return evaluate(node, status_of, error_of=error_of, case_of=case_of, blind={task}) is not True


def _operand(operand: Operand, status_of: StatusOf, error_of: ErrorOf, case_of: CaseOf, blind: Container[str]) -> Truth:
    statuses = _STATUSES.get(operand.result)
    if statuses is None:
        msg = f"What `{operand.task}` is asked for isn't available in this version"
        raise DependsError(msg, 0)
    status = status_of(operand.task)
    if status not in TERMINAL:
        return None
    if operand.case is not None:
        return status is TaskStatus.SUCCESS and case_of(operand.task) == operand.case
    if operand.result in EXPLICIT_FAILURES and operand.task in blind:
        return False
    if operand.result is DependsResult.REJECTED and error_of(operand.task) != ErrorName.APPROVAL_REJECTED:
        return False
    return status in statuses


def _all(truths: Iterable[Truth]) -> Truth:
    result: Truth = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            result = None
    return result


def _any(truths: Iterable[Truth]) -> Truth:
    result: Truth = False
    for truth in truths:
        if truth is True:
            return True
        if truth is None:
            result = None
    return result
