"""Random workflows of two to seven tasks that a validator would let pass."""

from typing import Any, Final

from pipeline.testing.chance import Chance
from pipeline.testing.fake_blocks import APPROVAL, EFFECT, ENTITY, FLAKY, SPEAKING, WAITER

PEOPLE: Final = ("ann", "bob", "cleo", "dan")
_RESULTS: Final = ("SUCCESS", "SUCCESS", "FAILED_ANY", "COMPLETED", "DONE", "FAILURE", "")


def make_spec(chance: Chance) -> dict[str, Any]:
    """A normalised spec."""
    count = chance.between(2, 7)
    tasks = [_task(chance, index) for index in range(count)]
    needed = {name for task in tasks for name in task.pop("_needs")}
    leaves = [task["name"] for task in tasks if task["name"] not in needed]
    for task in tasks:
        if task["name"] in leaves and chance.hits(0.3):
            task["endStatus"] = chance.one_of(("APPROVED", "REJECTED", "SUCCESS"))
    return {"dag": {"entrypoint": "t0", "exitpoints": leaves, "tasks": tasks}}


def _task(chance: Chance, index: int) -> dict[str, Any]:
    kind = chance.one_of((EFFECT, EFFECT, "CONDITION", FLAKY, WAITER, ENTITY, APPROVAL))
    arguments = _arguments(chance, kind, index)
    if kind in SPEAKING and chance.hits(0.5):
        arguments.append({"bulk": chance.between(3_000, 20_000)})
    task: dict[str, Any] = {"name": f"t{index}", "type": kind, "_needs": []}
    if index and chance.hits(0.85):
        needs = chance.some_of([f"t{before}" for before in range(index)], chance.between(1, min(index, 2)))
        task["_needs"] = needs
        task["depends"] = chance.one_of((" && ", " || ")).join(_operand(chance, name) for name in needs)
        if kind == EFFECT and len(needs) == 1 and chance.hits(0.5):
            arguments.append({"source": f'{{{{ tasks["{needs[0]}"].output | default: "none" }}}}'})
        if kind == "CONDITION" and chance.hits(0.6):
            # One of the two has often ended, and its output left the document, before the other one does.
            needs = task["_needs"] = chance.some_of([f"t{before}" for before in range(index)], min(index, 2))
            task["depends"] = " && ".join(f"{name}.SUCCESS" for name in needs)
            arguments = [{"expression": said(needs[0])}]
        if chance.hits(0.25):
            forms = ("true", "false", f'tasks["{needs[0]}"].status == "SUCCESS"', said(needs[0]))
            task["when"] = chance.one_of(forms)
    task["arguments"] = arguments
    if chance.hits(0.15):
        task["retry"] = []
    if kind in {FLAKY, ENTITY, WAITER} and chance.hits(0.25):
        task["onExhausted"] = "INCIDENT"
    if kind == WAITER and chance.hits(0.3):
        task["maxDurationSeconds"] = chance.between(5, 60)
    return task


def said(name: str) -> str:
    """A condition that is true if the task of that name succeeded: it reads the task's output."""
    return f'tasks["{name}"].output.said == "s{name.removeprefix("t")}"'


def _operand(chance: Chance, name: str) -> str:
    result = chance.one_of(_RESULTS)
    return f"{name}.{result}" if result else name


def _arguments(chance: Chance, kind: str, index: int) -> list[dict[str, Any]]:
    match kind:
        case "CONDITION":
            return [{"expression": chance.one_of(("true", "false"))}]
        case "FLAKY":
            return [{"say": f"s{index}"}, {"failures": chance.between(0, 4)}]
        case "WAITER":
            return [{"say": f"s{index}"}, {"steps": chance.between(1, 3)}]
        case "ENTITY":
            return [{"say": f"s{index}"}, {"is_poison": chance.hits(0.15)}]
        case "APPROVAL":
            return [
                {"say": f"s{index}"},
                {"approvers": chance.some_of(PEOPLE, chance.between(1, 3))},
                {"rule": chance.one_of(("ANY", "ALL"))},
                {"due_in_ms": chance.between(5_000, 120_000)},
            ]
        case _:
            return [{"say": f"s{index}"}]
