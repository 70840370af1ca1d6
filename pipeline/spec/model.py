"""A spec as the engine holds it: frozen values, and the way there from the stored form."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from pipeline.core.statuses import RunStatus
from pipeline.spec.depends import Node, names, parse

ENGINE_KEYS_OF_TASK: Final = frozenset(
    {"status", "updated_at", "attempt", "round", "output", "error", "started_at", "ended_at", "engine"}
)
ENGINE_KEYS_OF_DOCUMENT: Final = frozenset({"run", "engine", "v", "signature"})


@dataclass(frozen=True, slots=True)
class Retrier:
    """Which errors are tried again, and when: delay n is ``min(interval * rate^(n-1), max_delay)``.

    ``error_equals`` holds error names or the one name ``Task.ALL``; ``max_attempts`` 0 means never.
    """

    error_equals: tuple[str, ...]
    interval_s: float = 1
    max_attempts: int = 3
    backoff_rate: float = 2.0
    max_delay_s: float | None = None
    jitter: Literal["NONE", "FULL"] = "NONE"


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a spec.

    ``depends`` is the parsed form of ``depends_text`` (both empty for a root), ``needs`` the tasks it names.
    ``retry`` is ``None`` where the block's default applies, ``()`` for never; likewise ``timeout_s``. Seconds.
    """

    name: str
    type: str
    title: str | None = None
    depends_text: str = ""
    depends: Node | None = None
    needs: tuple[str, ...] = ()
    when: str | None = None
    arguments: tuple[tuple[str, Any], ...] = ()
    retry: tuple[Retrier, ...] | None = None
    timeout_s: float | None = None
    max_duration_s: float | None = None
    on_exhausted: Literal["FAIL", "INCIDENT"] = "FAIL"
    end_status: RunStatus | None = None

    @property
    def arguments_dict(self) -> dict[str, Any]:
        """The arguments as one object, unresolved; a new dict each time."""
        return dict(self.arguments)


@dataclass(frozen=True, slots=True)
class Spec:
    """A workflow's spec; ``tasks`` keeps the order of the document, ``followers`` the tasks that name a task.

    ``source`` is the normalised document; never change it.
    """

    entrypoint: str
    exitpoints: tuple[str, ...]
    tasks: Mapping[str, Task]
    input_schema: Mapping[str, Any] | bool | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    followers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def digest(normalised: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the canonical JSON of a normalised spec."""
    return hashlib.sha256(orjson.dumps(normalised, option=orjson.OPT_SORT_KEYS)).hexdigest()


def retrier_of(body: Mapping[str, Any]) -> Retrier:
    """A retrier from its JSON form, which must have been validated (or written by :func:`retrier_json`)."""
    return Retrier(
        error_equals=tuple(body["errorEquals"]),
        interval_s=body.get("intervalSeconds", 1),
        max_attempts=body.get("maxAttempts", 3),
        backoff_rate=body.get("backoffRate", 2.0),
        max_delay_s=body.get("maxDelaySeconds"),
        jitter=body.get("jitterStrategy", "NONE"),
    )


def retrier_json(retrier: Retrier) -> dict[str, Any]:
    """The JSON form of a retrier, every member written out."""
    body: dict[str, Any] = {
        "errorEquals": list(retrier.error_equals),
        "intervalSeconds": retrier.interval_s,
        "maxAttempts": retrier.max_attempts,
        "backoffRate": retrier.backoff_rate,
        "jitterStrategy": retrier.jitter,
    }
    if retrier.max_delay_s is not None:
        body["maxDelaySeconds"] = retrier.max_delay_s
    return body


def arguments_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a task's stored form as one object; a new dict."""
    return {key: value for entry in body.get("arguments", ()) for key, value in entry.items()}


def without_engine(document: Mapping[str, Any]) -> dict[str, Any]:
    """The normalised spec inside a run's document: what the engine writes beside it is left out; a new dict."""
    spec = {key: value for key, value in document.items() if key not in ENGINE_KEYS_OF_DOCUMENT}
    tasks = [
        {key: value for key, value in task.items() if key not in ENGINE_KEYS_OF_TASK}
        for task in document["dag"]["tasks"]
    ]
    spec["dag"] = {**document["dag"], "tasks": tasks}
    return spec


def spec_of(normalised: Mapping[str, Any]) -> Spec:
    """The spec of a normalised document, or of a run's document; nothing is checked again.

    Cheap: a ``depends`` that was parsed lately isn't parsed again.
    """
    source = without_engine(normalised)
    dag = source["dag"]
    tasks = {body["name"]: _task_of(body) for body in dag["tasks"]}
    followers: dict[str, list[str]] = {name: [] for name in tasks}
    for task in tasks.values():
        for needed in task.needs:
            followers.setdefault(needed, []).append(task.name)
    return Spec(
        entrypoint=dag["entrypoint"],
        exitpoints=tuple(dag["exitpoints"]),
        tasks=tasks,
        input_schema=source.get("input"),
        labels=source.get("labels", {}),
        source=source,
        followers={name: tuple(after) for name, after in followers.items()},
    )


def _task_of(body: Mapping[str, Any]) -> Task:
    depends_text = body.get("depends", "")
    depends = parse(depends_text)
    retry = body.get("retry")
    end_status = body.get("endStatus")
    return Task(
        name=body["name"],
        type=body["type"],
        title=body.get("title"),
        depends_text=depends_text,
        depends=depends,
        needs=names(depends),
        when=body.get("when"),
        arguments=tuple(pair for entry in body.get("arguments", ()) for pair in entry.items()),
        retry=None if retry is None else tuple(retrier_of(item) for item in retry),
        timeout_s=body.get("timeoutSeconds"),
        max_duration_s=body.get("maxDurationSeconds"),
        on_exhausted=body.get("onExhausted", "FAIL"),
        end_status=None if end_status is None else RunStatus(end_status),
    )
