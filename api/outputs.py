"""Outputs that a run's document names and entities hold, put back where a person looks for them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from api import shapes
from api.problems import ApiError, not_found
from api.route import Call, Route, reply
from api.run_documents import KnownRun
from api.run_views import seen
from api.services import Services
from pipeline.core.ids import output_name
from pipeline.core.limits import OUTPUTS_SHOWN_BYTES_MAX
from pipeline.messages.outputs import open_output
from pipeline.messages.seal import TamperedError
from pipeline.store.outputs import output_text_of

_LOST: Final = "The output of this task isn't in the store as the engine kept it."
Kept = dict[str, Any]
"""Outputs by the name of their entity: one never changes, so a stream reads it once."""


async def with_outputs(services: Services, run: KnownRun, kept: Kept | None = None) -> KnownRun:
    """The run with its tasks' whole outputs, in the order of the spec, as far as one answer carries them.

    ``kept`` remembers them for the next revision. An output that is left out, or isn't what the engine kept, is null;
    its task says in ``output_stored`` how large it is.
    """
    if run.document is None or not any(_stored(task) for task in run.document["dag"]["tasks"]):
        return run
    known = {} if kept is None else kept
    left = OUTPUTS_SHOWN_BYTES_MAX
    tasks = []
    for task in run.document["dag"]["tasks"]:
        stored = _stored(task)
        if stored is None:
            tasks.append(task)
            continue
        output = None
        if stored["bytes"] <= left:
            left -= stored["bytes"]
            output = await _read(services, run.guid, task, known)
        tasks.append({**task, "output": output, "output_stored": dict(stored)})
    document = {**run.document, "dag": {**run.document["dag"], "tasks": tasks}}
    return replace(run, document=document)


async def show_output(call: Call) -> Response:
    """One task's whole output, wherever it is kept; null where it has none."""
    run = await seen(call.services, call.caller, call.path("guid"))
    name = call.path("name")
    tasks = () if run.document is None else run.document["dag"]["tasks"]
    task = next((task for task in tasks if task["name"] == name), None)
    if task is None:
        raise not_found("task")
    output = task.get("output")
    if _stored(task) is not None:
        output = await _read(call.services, run.guid, task, {})
        if output is None:
            raise ApiError("conflict", _LOST)
    return reply({"task": name, "status": task["status"], "output": output})


def _stored(task: Mapping[str, Any]) -> Mapping[str, Any] | None:
    stored: Mapping[str, Any] | None = task["engine"].get("stored")
    return stored


async def _read(services: Services, run_guid: str, task: Mapping[str, Any], kept: Kept) -> Any:
    sha256 = task["engine"]["stored"]["sha256"]
    name = output_name(run_guid, task["name"], task["round"], sha256)
    if name not in kept:
        try:
            kept[name] = open_output(await output_text_of(services.store, name), sha256)
        except TamperedError:
            return None
    return kept[name]


ROUTES: Final = (
    Route("GET", "/runs/{guid}/tasks/{name}/output", show_output, "Show one task's whole output", "runs",
          answers={200: shapes.TaskOutput, 409: "the output was changed or removed in the store"}),
)  # fmt: skip
