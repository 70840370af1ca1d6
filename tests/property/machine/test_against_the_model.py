"""The machine against a naive model: any DAG, any order, duplicates, retries, people, deadlines, withdrawal."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.core.limits import CLOCK_SKEW_MAX_MS, DECISION_GRACE_MS
from pipeline.core.statuses import CommandStatus
from pipeline.machine.effects import CloseCommand
from pipeline.machine.inputs import Input, Tick
from pipeline.messages.envelopes import Dispatch, ErrorInfo, Outcome, Result
from tests.property.machine.model import DONE, Model, Node, Tree, text, truth
from tests.unit.machine.runs import GUID, Story, approval, request, task

GRACE = DECISION_GRACE_MS + CLOCK_SKEW_MAX_MS
PEOPLE = ("bob", "eve", "zoe")
RESULTS = ("", "SUCCESS", "FAILURE", "FAILED_ANY", "COMPLETED", "DONE", "OMITTED", "SKIPPED", "EXPIRED")
WHEN = {True: "run.input.amount == 3", False: "run.input.amount == 4", None: "run.input.nothing"}


def trees(earlier: list[str]) -> st.SearchStrategy[Tree]:
    operand = st.tuples(st.just("is"), st.sampled_from(earlier), st.sampled_from(RESULTS))
    return st.recursive(
        operand,
        lambda inner: st.one_of(
            st.tuples(st.just("not"), inner),
            st.tuples(st.just("and"), inner, inner),
            st.tuples(st.just("or"), inner, inner),
        ),
        max_leaves=4,
    )


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    drawn: list[Node] = []
    for number in range(draw(st.integers(1, 7))):
        earlier = [node.name for node in drawn]
        is_root = not earlier or draw(st.sampled_from((True, False, False, False, False)))
        depends = None if is_root else draw(trees(earlier))
        people = draw(st.sampled_from(((), (), PEOPLE[:1], PEOPLE[:2])))
        drawn.append(
            Node(
                f"t{number}",
                depends,
                can_start=draw(st.sampled_from((True, True, True, True, False, None))),
                retries=0 if people else draw(st.sampled_from((0, 1, 2, 2))),
                people=people,
                rule=draw(st.sampled_from(("ANY", "ALL"))),
                end_status=draw(st.sampled_from(("SUCCESS", "APPROVED", "REJECTED"))),
            )
        )
    return drawn


def body_of(node: Node) -> dict[str, Any]:
    return task(
        node.name,
        "" if node.depends is None else text(node.depends),
        when=WHEN[node.can_start],
        retry=[{"errorEquals": ["Task.ALL"], "maxAttempts": node.retries}],
        endStatus=node.end_status,
    )


class AgainstTheModel(RuleBasedStateMachine):
    story: Story
    model: Model

    @initialize(drawn=nodes())
    def begin(self, drawn: list[Node]) -> None:
        asked = request(*(body_of(node) for node in drawn))
        self.story = Story(asked)
        self.model = Model(drawn, list(asked.spec.exitpoints), self.story.now)
        self.seen: list[Input] = []
        self.commands = 0
        self.sent = {message.task: 1 for message in self.story.sent()}
        self.ended: dict[str, str] = {}

    def give(self, *inputs: Input) -> None:
        self.story.apply(*inputs)
        self.seen.extend(inputs)
        for message in self.story.sent():
            assert isinstance(message, Dispatch)
            assert not self.story.run.is_over, "a run that is over starts nothing"
            self.sent[message.task] = max(self.sent.get(message.task, 0), message.attempt)

    def result(self, name: str, outcome: Outcome, attempt: int, **members: Any) -> Result:
        members.setdefault("step", 0)
        self.story.now += 1
        self.model.now = self.story.now
        return Result(
            run_guid=GUID,
            task=name,
            attempt=attempt,
            outcome=outcome,
            started_at=self.story.now - 1,
            ended_at=self.story.now,
            **members,
        )

    def drawn_task(self, data: st.DataObject) -> tuple[str, int]:
        """A task that was sent to its runner, and one of the attempts made of it."""
        name = data.draw(st.sampled_from(sorted(self.sent)))
        return name, data.draw(st.integers(1, self.sent[name]))

    def questions(self) -> list[str]:
        return sorted(name for name in self.sent if self.model.nodes[name].people)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        name, attempt = self.drawn_task(data)
        step = self.story.state(name).step
        self.give(self.result(name, Outcome.SUCCEEDED, attempt, step=step, output={"of": name}))
        self.model.succeed(name)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        name, attempt = self.drawn_task(data)
        self.give(self.result(name, Outcome.FAILED, attempt, error=ErrorInfo(name="Task.Failed")))
        self.model.fail(name, attempt)

    @precondition(lambda self: "RUNNING" in self.model.statuses().values())
    @rule(data=st.data())
    def fail_and_try_again(self, data: st.DataObject) -> None:
        """What takes three rules otherwise, so that later attempts aren't rare."""
        running = [name for name, status in self.model.statuses().items() if status == "RUNNING"]
        name = data.draw(st.sampled_from(running))
        attempt = self.model.nodes[name].attempt
        self.give(self.result(name, Outcome.FAILED, attempt, error=ErrorInfo(name="Task.Failed")))
        self.model.fail(name, attempt)
        self.tick(4000)

    @precondition(lambda self: self.questions())
    @rule(data=st.data(), patience=st.sampled_from((0, 1000, 60_000)), tells=st.booleans())
    def ask(self, data: st.DataObject, patience: int, *, tells: bool) -> None:
        name = data.draw(st.sampled_from(self.questions()))
        attempt = data.draw(st.integers(1, self.sent[name]))
        node = self.model.nodes[name]
        deadline = self.story.now + patience
        state = approval(*node.people, rule=node.rule, due_at=deadline)
        goes_on = {"continue_at": 0, "continue_cause": "TELL"} if tells else {}
        self.give(self.result(name, Outcome.WAITING, attempt, state=state, **goes_on))
        self.model.ask(name, attempt, deadline)

    @precondition(lambda self: any(node.is_open for node in self.model.nodes.values()))
    @rule(data=st.data(), action=st.sampled_from(("APPROVED", "APPROVED", "REJECTED")))
    def answer(self, data: st.DataObject, action: str) -> None:
        name = data.draw(st.sampled_from([node.name for node in self.model.nodes.values() if node.is_open]))
        person = data.draw(st.sampled_from((*self.model.nodes[name].people, "zoe")))
        at = self.story.now - data.draw(st.sampled_from((0, 0, 1, 3000)))
        self.commands += 1
        id_ = f"c{self.commands}"
        arguments = {"action": action, "item": f"{GUID}/{name}/0/0/{person}"}
        self.give(
            self.story.command(
                "decide", person, "recipient", id=id_, task=name, arguments=arguments, at=at, comment="because"
            )
        )
        self.check_verdict(is_applied=self.model.answer(name, person, action, at))

    @rule()
    def withdraw(self) -> None:
        if self.commands % 3:  # else most runs would end here
            self.commands += 1
            return
        self.commands += 1
        self.give(self.story.command("withdraw", "ann", id=f"c{self.commands}"))
        self.check_verdict(is_applied=self.model.withdraw())

    def check_verdict(self, *, is_applied: bool) -> None:
        (verdict,) = [effect for effect in self.story.effects if isinstance(effect, CloseCommand)]
        assert verdict.status is (CommandStatus.APPLIED if is_applied else CommandStatus.REFUSED), verdict.reason

    @rule(milliseconds=st.sampled_from((0, 1, 999, 1000, 2000, 7000, 60_000)))
    def tick(self, milliseconds: int) -> None:
        self.story.now += milliseconds
        self.model.now = self.story.now
        self.give(Tick(self.story.now))
        self.model.tick(GRACE)

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def redeliver(self, data: st.DataObject) -> None:
        """Everything may come again at any time; a tick is judged by the clock and is no repetition."""
        again = data.draw(st.sampled_from(self.seen))
        if not isinstance(again, Tick):
            before = self.story.statuses()
            self.give(again)
            assert self.story.statuses() == before

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        statuses = self.story.statuses()
        for name, state in self.story.run.tasks.items():
            if state.approval is not None and not state.is_over:
                statuses[name] = "WAITING"  # the model doesn't know that people are told meanwhile
        assert statuses == self.model.statuses()
        assert self.story.run.status.value == self.model.status

    @invariant()
    def what_ended_stays(self) -> None:
        for name, status in self.story.statuses().items() if hasattr(self, "story") else ():
            assert self.ended.setdefault(name, status) == status or self.ended[name] not in DONE
            if status in DONE:
                self.ended[name] = status
            else:
                del self.ended[name]

    @invariant()
    def eager_is_settled(self) -> None:
        """What was decided early is what one would decide now that all is known."""
        if not hasattr(self, "model") or not self.story.run.is_over or self.model.status == "WITHDRAWN":
            return
        statuses = self.story.statuses()
        for node in self.model.nodes.values():
            runs = True if node.depends is None else truth(node.depends, statuses)
            assert (statuses[node.name] == "OMITTED") is (runs is False)


AgainstTheModel.TestCase.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
TestAgainstTheModel = AgainstTheModel.TestCase
