"""Whether those who are asked can be counted, where a rule counts them: found as a workflow is published, not as its
first run fails.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.core.errors import Problem
from pipeline.directory.port import Directory
from pipeline.machine.approvals.opening import NEEDS_MEMBERS

_CODE: Final = "Arguments.Invalid"


async def uncountable(spec: Mapping[str, Any], directory: Directory) -> list[Problem]:
    """What is wrong with the approvals of a normalised spec; names that a template gives are judged by each run.

    Raises:
        DirectoryUnavailableError: nobody can say now.
    """
    problems: list[Problem] = []
    for index, rule, groups in _counting(spec):
        unknown = [
            group
            for group in groups
            if await directory.members(group) is None and await directory.has_unknown_members(group)
        ]
        if unknown:
            detail = f"The members of {', '.join(unknown)} aren't known, so {rule} can't be asked: use ANY or COUNT."
            problems.append(Problem(f"/dag/tasks/{index}/arguments", _CODE, detail))
    return problems


def _counting(spec: Mapping[str, Any]) -> Iterator[tuple[int, str, list[str]]]:
    """Tasks whose rule counts the members of groups: where they stand, the rule, the groups named."""
    for index, task in enumerate(spec["dag"]["tasks"]):
        if task["type"] != "APPROVAL":
            continue
        arguments = {key: value for argument in task["arguments"] for key, value in argument.items()}
        rule = arguments.get("rule")
        groups = (arguments.get("approvers") or {}).get("groups") or []
        named = [group for group in groups if isinstance(group, str) and "{{" not in group]
        if rule in NEEDS_MEMBERS and named:
            yield index, rule, named
