"""From a document as people write it to the stored form: shapes, keys and texts; nothing about what it means."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.core.errors import InvalidError, Problem
from pipeline.core.limits import (
    LABELS_MAX,
    SPAN_S_MAX,
    SPEC_BYTES_MAX,
    TASK_NAME_CHARS_MAX,
    TASKS_MAX,
    TITLE_CHARS_MAX,
)
from pipeline.core.statuses import RunStatus
from pipeline.spec.depends import DependsError, names, parse, render
from pipeline.spec.json_text import is_deep, size_bytes
from pipeline.spec.model import ENGINE_KEYS_OF_DOCUMENT, ENGINE_KEYS_OF_TASK, Spec, spec_of
from pipeline.spec.pointers import child, did_you_mean, shown
from pipeline.spec.retry_syntax import read_retry

_LATER_DOCUMENT: Final = frozenset({"output", "trigger", "expiresIn", "failFast", "onFailure", "retention"})
_LATER_TASK: Final = frozenset({"heartbeatSeconds", "optional", "join", "compensate", "finally"})
_DEFAULTS: Final[Mapping[str, Any]] = {"failFast": False, "optional": False, "finally": False}
"""Keys of later versions whose default says what happens anyway; accepted with it, and dropped."""
_KEYS_DOCUMENT: Final = frozenset({"dag", "input", "labels"})
_KEYS_DAG: Final = frozenset({"entrypoint", "exitpoints", "tasks"})
_KEYS_TASK: Final = frozenset(
    {
        "name",
        "type",
        "title",
        "depends",
        "when",
        "arguments",
        "retry",
        "timeoutSeconds",
        "maxDurationSeconds",
        "onExhausted",
        "endStatus",
    }
)
END_STATUSES: Final = (RunStatus.APPROVED, RunStatus.REJECTED, RunStatus.SUCCESS)


@dataclass(slots=True)
class Reading:
    """What was read: the normalised form as far as it goes, and where its parts stand in the document.

    ``normalised`` is complete only if ``problems`` is empty. ``tasks`` pairs the index in the document with the
    stored form of each task that has a name and a type; ``argument_pointers`` leads from a task's index and an
    argument's key to the place of its value; ``declared`` has every name, also of tasks that are wrong otherwise.
    """

    problems: list[Problem] = field(default_factory=list)
    normalised: dict[str, Any] = field(default_factory=dict)
    tasks: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    argument_pointers: dict[tuple[int, str], str] = field(default_factory=dict)
    declared: dict[str, int] = field(default_factory=dict)

    def say(self, pointer: str, code: str, detail: str) -> None:
        """Report a problem."""
        self.problems.append(Problem(pointer, code, detail))


def read(document: Any) -> Reading:
    """Read a document; never raises, the result has every problem of its syntax."""
    reading = Reading()
    if not isinstance(document, dict):
        reading.say("", "Spec.WrongType", "A spec must be an object with the key `dag`.")
        return reading
    size = None if is_deep(document) else size_bytes(document)
    if size is None:
        detail = "The spec isn't JSON: it is nested too deep, or has too large numbers or broken texts."
        reading.say("", "Spec.NotJson", detail)
        return reading
    _keys(reading, document, "", known=_KEYS_DOCUMENT, later=_LATER_DOCUMENT, dropped=ENGINE_KEYS_OF_DOCUMENT)
    _labels(reading, document.get("labels", {}))
    dag = document.get("dag")
    if "dag" not in document:
        reading.say("/dag", "Spec.Missing", "The key `dag` with the workflow's tasks is missing.")
    elif not isinstance(dag, dict):
        reading.say("/dag", "Spec.WrongType", "`dag` must be an object.")
    else:
        _dag(reading, dag)
        reading.normalised |= {key: document[key] for key in ("input", "labels") if key in document}
    size = size_bytes(reading.normalised)
    if size is not None and size > SPEC_BYTES_MAX:
        reading.say("", "Spec.TooLarge", f"The spec is larger than {SPEC_BYTES_MAX // 1024} KiB.")
    return reading


def normalise(document: Any) -> dict[str, Any]:
    """The stored form: what the engine writes dropped, arguments as a list of single-key objects, ``depends`` in our
    spelling, exitpoints filled with the leaves. Normalising twice changes nothing.

    Raises:
        InvalidError: the document's syntax is wrong; all problems.
    """
    reading = read(document)
    if reading.problems:
        raise InvalidError(tuple(reading.problems))
    return reading.normalised


def load_spec(document: Any) -> Spec:
    """The spec of a document whose syntax is right; what it means isn't checked.

    Raises:
        InvalidError: as :func:`normalise`.
    """
    return spec_of(normalise(document))


def _keys(
    reading: Reading,
    body: Mapping[str, Any],
    pointer: str,
    *,
    known: frozenset[str],
    later: frozenset[str] = frozenset(),
    dropped: frozenset[str] = frozenset(),
) -> None:
    for key, value in body.items():
        if key in later:
            if key not in _DEFAULTS or value != _DEFAULTS[key] or type(value) is not type(_DEFAULTS[key]):
                detail = f"`{key}` isn't available in this version."
                reading.say(child(pointer, key), "Spec.NotAvailable", detail)
        elif key not in known and key not in dropped:
            detail = f"The key `{shown(str(key))}` isn't known here.{did_you_mean(str(key), known | later)}"
            reading.say(child(pointer, key), "Spec.UnknownKey", detail)


def _labels(reading: Reading, labels: Any) -> None:
    is_right = isinstance(labels, dict) and all(isinstance(value, str) for value in labels.values())
    if not is_right or len(labels) > LABELS_MAX:
        reading.say("/labels", "Spec.WrongType", f"`labels` must be an object of at most {LABELS_MAX} texts.")


def _dag(reading: Reading, dag: Mapping[str, Any]) -> None:
    _keys(reading, dag, "/dag", known=_KEYS_DAG)
    tasks = dag.get("tasks")
    if not isinstance(tasks, list) or not tasks:
        reading.say("/dag/tasks", "Spec.Missing", "`tasks` must be a list of at least one task.")
        tasks = []
    if len(tasks) > TASKS_MAX:
        detail = f"A spec has at most {TASKS_MAX} tasks; this one has {len(tasks)}."
        reading.say("/dag/tasks", "Spec.TooManyTasks", detail)
    bodies = [_task(reading, index, task) for index, task in enumerate(tasks)]
    _unique_names(reading)
    entrypoint = dag.get("entrypoint")
    if not isinstance(entrypoint, str):
        detail = "`entrypoint` must name the task that starts first."
        reading.say("/dag/entrypoint", "Spec.Missing" if entrypoint is None else "Spec.WrongType", detail)
    exitpoints = dag.get("exitpoints", [])
    if not isinstance(exitpoints, list) or not all(isinstance(name, str) for name in exitpoints):
        reading.say("/dag/exitpoints", "Spec.WrongType", "`exitpoints` must be a list of task names.")
        exitpoints = []
    reading.normalised["dag"] = {
        "entrypoint": entrypoint,
        "exitpoints": list(exitpoints) or _leaves(reading),
        "tasks": bodies,
    }


def _leaves(reading: Reading) -> list[str]:
    needed: set[str] = set()
    for _, body in reading.tasks:
        needed.update(names(parse(body.get("depends", ""))))
    return list(dict.fromkeys(body["name"] for _, body in reading.tasks if body["name"] not in needed))


def _unique_names(reading: Reading) -> None:
    first: dict[str, int] = {}
    for index, body in reading.tasks:
        name = body["name"]
        if first.setdefault(name, index) != index:
            detail = f"Two tasks have the name `{shown(name)}`; a name must be unique."
            reading.say(f"/dag/tasks/{index}/name", "Spec.DuplicateTask", detail)


def _task(reading: Reading, index: int, task: Any) -> dict[str, Any]:
    pointer = f"/dag/tasks/{index}"
    if not isinstance(task, dict):
        reading.say(pointer, "Spec.WrongType", "A task must be an object.")
        return {}
    _keys(reading, task, pointer, known=_KEYS_TASK, later=_LATER_TASK, dropped=ENGINE_KEYS_OF_TASK)
    body = dict(_members(reading, pointer, index, task))
    if "name" in body:
        reading.declared.setdefault(body["name"], index)
    if "name" in body and "type" in body:
        reading.tasks.append((index, body))
    return body


def _members(reading: Reading, pointer: str, index: int, task: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The members of a task in the order of the stored form; those that are wrong are reported and left out."""
    for key, what in (("name", "name"), ("type", "type")):
        if key not in task:
            reading.say(child(pointer, key), "Spec.Missing", f"The task has no {what}.")
    for key, check in _CHECKS.items():
        if key not in task:
            continue
        detail = check(task[key])
        if detail is None and task[key] != _UNSAID.get(key):
            yield key, task[key]
        elif detail is not None:
            reading.say(child(pointer, key), *detail)
    yield from _depends(reading, child(pointer, "depends"), task.get("depends", ""))
    if "arguments" in task:
        yield "arguments", list(_arguments(reading, child(pointer, "arguments"), index, task["arguments"]))
    if "retry" in task:
        retry, problems = read_retry(task["retry"], child(pointer, "retry"))
        reading.problems.extend(problems)
        yield "retry", retry


def _depends(reading: Reading, pointer: str, text: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(text, str):
        reading.say(pointer, "Spec.WrongType", "`depends` must be a text such as `first.SUCCESS`.")
        return
    try:
        rendered = render(parse(text))
        parse(rendered)  # our spelling can be longer than the author's, and has the same limit
    except DependsError as error:
        reading.say(pointer, "Spec.Depends", str(error))
        return
    if rendered:
        yield "depends", rendered


def _arguments(reading: Reading, pointer: str, index: int, arguments: object) -> Iterator[dict[str, Any]]:
    entries: list[tuple[str, Any]]
    if isinstance(arguments, dict):
        entries = [(child(pointer, key), {key: value}) for key, value in arguments.items()]
    elif isinstance(arguments, list):
        entries = [(child(pointer, place), entry) for place, entry in enumerate(arguments)]
    else:
        reading.say(pointer, "Spec.WrongType", "`arguments` must be a list of objects with one key each, or an object.")
        return
    for where, entry in entries:
        if not isinstance(entry, dict) or len(entry) != 1:
            reading.say(where, "Spec.WrongType", "An argument must be an object with one key.")
            continue
        key = next(iter(entry))
        if (index, key) in reading.argument_pointers:
            reading.say(where, "Spec.DuplicateKey", f"The argument `{shown(key)}` is given twice.")
            continue
        reading.argument_pointers[index, key] = where if isinstance(arguments, dict) else child(where, key)
        yield entry


_Check = Callable[[Any], tuple[str, str] | None]


def _name(value: Any) -> tuple[str, str] | None:
    if isinstance(value, str) and 1 <= len(value) <= TASK_NAME_CHARS_MAX and value.isprintable():
        return None
    return "Spec.TaskName", f"A task's name must be a text of 1 to {TASK_NAME_CHARS_MAX} printable characters."


def _text(what: str, chars_max: int) -> _Check:
    def check(value: Any) -> tuple[str, str] | None:
        if isinstance(value, str) and 1 <= len(value) <= chars_max:
            return None
        return "Spec.WrongType", f"`{what}` must be a text of 1 to {chars_max} characters."

    return check


def _span(what: str) -> _Check:
    def check(value: Any) -> tuple[str, str] | None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and 0 < value <= SPAN_S_MAX:
            return None
        return "Spec.WrongType", f"`{what}` must be a number of seconds, more than 0 and at most {SPAN_S_MAX}."

    return check


def _end_status(value: Any) -> tuple[str, str] | None:
    if isinstance(value, str) and value in END_STATUSES:
        return None
    hint = did_you_mean(value, END_STATUSES) if isinstance(value, str) else ""
    return "Spec.EndStatus", f"`endStatus` must be APPROVED, REJECTED or SUCCESS.{hint}"


def _on_exhausted(value: Any) -> tuple[str, str] | None:
    if isinstance(value, str) and value in {"FAIL", "INCIDENT"}:
        return None
    return "Spec.WrongType", "`onExhausted` must be FAIL or INCIDENT."


_CHECKS: Final[Mapping[str, _Check]] = {
    "name": _name,
    "type": _text("type", 64),
    "title": _text("title", TITLE_CHARS_MAX),
    "when": _text("when", SPEC_BYTES_MAX),  # how long an expression may be is said by its own check
    "timeoutSeconds": _span("timeoutSeconds"),
    "maxDurationSeconds": _span("maxDurationSeconds"),
    "onExhausted": _on_exhausted,
    "endStatus": _end_status,
}
_UNSAID: Final = {"onExhausted": "FAIL"}
"""Values that go without saying, and are dropped."""
