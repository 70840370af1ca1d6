"""The language once more, as plainly as it can be said: no revisions, no leases, no documents, no code of the machine.

A ``depends`` is a tree of tuples: ``("is", task, result)``, ``("not", x)``, ``("and", x, y)``, ``("or", x, y)``.
"""

from dataclasses import dataclass, field
from typing import Any

Tree = tuple[Any, ...]

DONE = {"SUCCESS", "FAILURE", "TIMED_OUT", "EXPIRED", "SKIPPED", "OMITTED", "CANCELLED"}
FAILED = {"FAILURE", "TIMED_OUT", "EXPIRED"}
MEANS = {
    "": {"SUCCESS", "SKIPPED"},
    "SUCCESS": {"SUCCESS"},
    "FAILURE": {"FAILURE"},
    "EXPIRED": {"EXPIRED"},
    "SKIPPED": {"SKIPPED"},
    "OMITTED": {"OMITTED"},
    "FAILED_ANY": FAILED,
    "COMPLETED": {"SUCCESS", *FAILED},
    "DONE": DONE,
}
BLIND_TO = {"FAILURE", "FAILED_ANY", "EXPIRED"}


def text(tree: Tree) -> str:
    match tree:
        case ("is", name, ""):
            return str(name)
        case ("is", name, result):
            return f"{name}.{result}"
        case ("not", inner):
            return f"!({text(inner)})"
        case ("and", left, right):
            return f"({text(left)}) && ({text(right)})"
        case (_, left, right):
            return f"({text(left)}) || ({text(right)})"
    raise AssertionError(tree)


def truth(tree: Tree, statuses: dict[str, str], blind: str = "") -> bool | None:
    match tree:
        case ("is", name, result):
            if statuses[name] not in DONE:
                return None
            return statuses[name] in MEANS[result] and not (name == blind and result in BLIND_TO)
        case ("not", inner):
            value = truth(inner, statuses, blind)
            return None if value is None else not value
        case ("and", left, right):
            values = {truth(left, statuses, blind), truth(right, statuses, blind)}
            return False if False in values else None if None in values else True
        case (_, left, right):
            values = {truth(left, statuses, blind), truth(right, statuses, blind)}
            return True if True in values else None if None in values else False
    raise AssertionError(tree)


@dataclass
class Node:
    """A task as it was drawn, and where it stands."""

    name: str
    depends: Tree | None
    can_start: bool | None = True
    """``when``: true, false, or an error."""
    retries: int = 0
    people: tuple[str, ...] = ()
    """Who is asked; empty for a task that asks nobody."""
    rule: str = "ANY"
    end_status: str = "SUCCESS"
    status: str = "PENDING"
    attempt: int = 0
    failures: int = 0
    due_at: int = 0
    deadline: int = 0
    is_open: bool = False
    decisions: dict[str, str] = field(default_factory=dict)


class Model:
    """One run of the drawn tasks."""

    def __init__(self, nodes: list[Node], exitpoints: list[str], now: int) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.exitpoints = exitpoints
        self.now = now
        self.status = "PENDING"
        self.settle()

    def statuses(self) -> dict[str, str]:
        return {name: node.status for name, node in self.nodes.items()}

    def settle(self) -> None:
        if self.status != "PENDING":
            return
        is_moving = True
        while is_moving:
            is_moving = False
            for node in self.nodes.values():
                if node.status == "PENDING" and self.decide(node):
                    is_moving = True
        if set(self.statuses().values()) <= DONE:
            self.status = self.end()

    def decide(self, node: Node) -> bool:
        runs = True if node.depends is None else truth(node.depends, self.statuses())
        if runs is None:
            return False
        if not runs:
            node.status = "OMITTED"
        elif node.can_start is None:
            node.status = "FAILURE"
        elif node.can_start:
            node.status, node.attempt = "RUNNING", 1
        else:
            node.status = "SKIPPED"
        return True

    def end(self) -> str:
        statuses = self.statuses()
        for name, status in statuses.items():
            if status in FAILED and not self.is_handled(name):
                return "FAILURE"
        reached = {self.nodes[name].end_status for name in self.exitpoints if statuses[name] == "SUCCESS"}
        return next((status for status in ("REJECTED", "APPROVED") if status in reached), "SUCCESS")

    def is_handled(self, failed: str) -> bool:
        statuses = self.statuses()
        for node in self.nodes.values():
            has_run = node.attempt > 0 and node.status in MEANS["COMPLETED"]
            if has_run and node.depends is not None and truth(node.depends, statuses, blind=failed) is not True:
                return True
        return False

    def succeed(self, name: str) -> None:
        node = self.nodes[name]
        if node.status in {"RUNNING", "RETRYING", "WAITING"} and not node.is_open:
            node.status = "SUCCESS"
        self.settle()

    def fail(self, name: str, attempt: int) -> None:
        node = self.nodes[name]
        if node.status == "RUNNING" and attempt == node.attempt and not node.is_open:
            node.failures += 1
            if node.failures > node.retries:
                node.status = "FAILURE"
            else:
                node.status = "RETRYING"
                node.due_at = self.now + 1000 * 2 ** (node.failures - 1)
        self.settle()

    def ask(self, name: str, attempt: int, deadline: int) -> None:
        node = self.nodes[name]
        if node.status == "RUNNING" and attempt == node.attempt and not node.is_open:
            node.is_open, node.deadline, node.status = True, deadline, "WAITING"

    def answer(self, name: str, person: str, action: str, at: int) -> bool:
        node = self.nodes[name]
        may = node.is_open and node.status not in DONE and person in node.people and person not in node.decisions
        if not may or at > node.deadline:
            return False
        node.decisions[person] = action
        if action == "REJECTED":
            node.status = "FAILURE"
        elif node.rule == "ANY" or set(node.decisions) == set(node.people):
            node.status = "SUCCESS"
        self.settle()
        return True

    def tick(self, grace: int) -> None:
        for node in self.nodes.values():
            if node.status == "RETRYING" and node.due_at <= self.now:
                node.status, node.attempt = "RUNNING", node.attempt + 1
            if node.status == "WAITING" and node.deadline + grace <= self.now:
                node.status = "EXPIRED"
        self.settle()

    def withdraw(self) -> bool:
        if self.status != "PENDING":
            return False
        for node in self.nodes.values():
            if node.status not in DONE:
                node.status = "CANCELLED"
        self.status = "WITHDRAWN"
        return True
