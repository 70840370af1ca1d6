"""The rules of human tasks against a reference that says "certain" by looking at every way in which it can go on."""

from itertools import product
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.statuses import TaskStatus
from pipeline.machine.approvals.rules import Tally, verdict
from pipeline.machine.effects import CloseCommand
from tests.unit.machine.runs import Story, request, task

YES, NO, SILENT = "APPROVED", "REJECTED", None
RULES: Final = ("ANY", "ALL", "ALL_RESPONDED_ANY", "COUNT", "PERCENT")
Votes = tuple[str | None, ...]


def final(rule: str, votes: Votes, first: str | None, number: int) -> str | None:
    """What a question came to when nobody says any more; None where its deadline decides."""
    said = [vote for vote in votes if vote is not SILENT]
    if rule == "ANY":
        return first
    if rule == "ALL":
        return NO if NO in said else YES if SILENT not in votes else None
    if rule == "ALL_RESPONDED_ANY":
        return None if SILENT in votes else YES if YES in said else NO
    if rule == "PERCENT":
        enough = [n for n in range(len(votes) + 1) if n * 100 >= number * len(votes)]
        number = enough[0]
    if said.count(YES) >= number:
        return YES
    return NO if len(votes) - said.count(NO) < number else None


def certain(rule: str, votes: Votes, first: str | None, number: int) -> str | None:
    """The one end of every way in which it can go on; a first vote that isn't there yet can be either."""
    ends = set()
    for more in product((YES, NO, SILENT), repeat=votes.count(SILENT)):
        rest = iter(more)
        complete = tuple(next(rest) if vote is SILENT else vote for vote in votes)
        later = next((vote for vote in more if vote is not SILENT), None)
        ends.add(final(rule, complete, first or later, number))
    return ends.pop() if len(ends) == 1 else None


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, int, int, str]:
    rule = draw(st.sampled_from(RULES))
    people = draw(st.integers(1, 5))
    number = draw(st.integers(1, 100) if rule == "PERCENT" else st.integers(1, 6))
    return rule, people, number, draw(st.sampled_from(("PARALLEL", "SEQUENTIAL")))


@settings(max_examples=250, deadline=None)
@given(question=questions(), data=st.data())
def test_a_question_is_decided_at_the_very_moment_when_its_end_is_certain(
    question: tuple[str, int, int, str], data: st.DataObject
) -> None:
    rule, people, number, order = question
    names = [f"p{n}" for n in range(people)]
    story = Story(request(task("ask", type="APPROVAL")))
    numbers = {"COUNT": {"count": number}, "PERCENT": {"percent": number}}
    story.ask("ask", *names, rule=rule, order=order, **numbers.get(rule, {}))
    votes: list[str | None] = [SILENT] * people
    holder = list(names)
    first: str | None = None
    turn = list(range(people)) if order == "SEQUENTIAL" else data.draw(st.permutations(range(people)))
    for count, seat in enumerate(turn):
        expected = certain(rule, tuple(votes), first, number)
        assert status_of(story) == expected
        if expected is not None:
            return
        if data.draw(st.booleans()):
            handed = story.command(
                "delegate", holder[seat], "recipient", id=f"d{count}", task="ask", arguments={"to": f"heir{count}"}
            )
            assert applied(story, handed)
            holder[seat] = f"heir{count}"
        vote = data.draw(st.sampled_from((YES, NO)))
        decided = story.command(
            "decide",
            holder[seat],
            "recipient",
            id=f"c{count}",
            task="ask",
            arguments={"action": vote},
            comment="for a reason",
        )
        assert applied(story, decided)
        votes[seat], first = vote, first or vote
        if data.draw(st.booleans()):
            story.hold("ask", {"tell": []})
    assert status_of(story) == certain(rule, tuple(votes), first, number)


def status_of(story: Story) -> str | None:
    status = story.state("ask").status
    return {TaskStatus.SUCCESS: YES, TaskStatus.FAILURE: NO}.get(status)


def applied(story: Story, command: object) -> bool:
    story.apply(command)  # type: ignore[arg-type]
    verdicts = [effect for effect in story.effects if isinstance(effect, CloseCommand)]
    return [one.status.value for one in verdicts] == ["APPLIED"]


def test_the_table_of_rules_by_hand() -> None:
    assert verdict("ANY", Tally(3, 0, 1)) == NO
    assert verdict("ALL", Tally(3, 2, 0)) is None
    assert verdict("ALL_RESPONDED_ANY", Tally(3, 2, 0)) is None
    assert verdict("ALL_RESPONDED_ANY", Tally(3, 1, 2)) == YES
    assert verdict("ALL_RESPONDED_ANY", Tally(3, 0, 3)) == NO
    assert verdict("COUNT", Tally(3, 1, 2), 2) == NO
    assert verdict("COUNT", Tally(3, 2, 0), 2) == YES
    assert verdict("PERCENT", Tally(3, 1, 1), 2) is None
