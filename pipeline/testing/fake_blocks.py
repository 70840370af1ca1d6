"""Blocks of a world, and the outside in which their effects happen."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from pipeline.blocks.contract import (
    Arguments,
    Attempt,
    ChangeIntent,
    EntityIntent,
    Failed,
    Output,
    Runner,
    Succeeded,
    Waiting,
    failed,
    succeeded,
    waiting,
)
from pipeline.blocks.manifest import Manifest
from pipeline.core.clock import Clock
from pipeline.core.errors import ErrorName

EFFECT: Final = "EFFECT"
FLAKY: Final = "FLAKY"
WAITER: Final = "WAITER"
ENTITY: Final = "ENTITY"
APPROVAL: Final = "APPROVAL"
TYPES: Final = (EFFECT, FLAKY, WAITER, ENTITY, APPROVAL)
SPEAKING: Final = frozenset({EFFECT, FLAKY, WAITER, ENTITY})
"""Those whose output says what they were told to say."""
ENTITY_TYPE: Final = "Table"
OWNERS: Final = "ownerUsers"
LEASE_MS: Final = 30_000
TIMEOUT_S: Final = 45.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request that reached the outside."""

    key: str
    logical: tuple[str, str, str]
    """Run, task and what of the task it is for: what a person would call one effect."""
    content: str
    dispatched_at: int
    at: int


@dataclass(slots=True)
class Outside:
    """A system that carries out the first request of a key and answers later ones alike; it writes all of them down."""

    calls: list[Call] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ports:
    """What a runner of a world is handed: its node's clock, the outside, how long work takes."""

    clock: Clock
    outside: Outside
    work_ms: Any
    """A function that draws the milliseconds of one piece of work; a very large one is a hang."""


class AnyArguments(Arguments):
    """Arguments of all fake blocks."""

    say: str = ""
    failures: int = 0
    steps: int = 0
    is_poison: bool = False
    approvers: tuple[str, ...] = ()
    rule: str = "ANY"
    due_in_ms: int = 60_000
    source: Any = None
    bulk: int = 0
    """Characters that the output has besides."""
    asset: str | None = None
    """The guid of an asset to whose owners the task adds its own name."""
    removes: tuple[str, ...] = ()
    """The owners that it takes from there."""


class Said(Output):
    """Output of all fake blocks."""

    said: str = ""
    bulk: str = ""


def said(arguments: AnyArguments) -> Said:
    """What a block that was told to speak says."""
    return Said(said=arguments.say, bulk="x" * arguments.bulk)


def finished(arguments: AnyArguments, attempt: Attempt, *entities: EntityIntent) -> Succeeded[Said]:
    """Success, with what it changes in the catalog."""
    changes: tuple[ChangeIntent, ...] = ()
    if arguments.asset is not None:
        own, others = (attempt.effect_key.task,), arguments.removes
        changes = (ChangeIntent(arguments.asset, add={OWNERS: own}, remove={OWNERS: others}),)
    return succeeded(said(arguments), entities=entities, changes=changes)


class FakeRunner(Runner[AnyArguments, Said]):
    """What all of them share."""

    arguments_type: ClassVar[type[Arguments]] = AnyArguments
    output_type: ClassVar[type[Output]] = Said

    def __init__(self, ports: Ports) -> None:
        """One instance a vertex."""
        self.ports = ports

    async def effect(self, arguments: AnyArguments, attempt: Attempt, part: str) -> None:
        """Ask the outside for something under the effect key; takes some time before and after."""
        await self.ports.clock.sleep(self.ports.work_ms() / 1000)
        key = attempt.effect_key
        self.ports.outside.calls.append(
            Call(
                key=str(key),
                logical=(key.run_guid, key.task, part),
                content=f"{part}:{arguments.say}:{arguments.source}",
                dispatched_at=attempt.now_ms,
                at=self.ports.clock.now_ms(),
            )
        )
        await self.ports.clock.sleep(self.ports.work_ms() / 1000)

    async def run(self, arguments: AnyArguments, attempt: Attempt) -> Succeeded[Said] | Failed | Waiting:
        """One effect, then success."""
        await self.effect(arguments, attempt, "effect")
        return finished(arguments, attempt)


class FlakyRunner(FakeRunner):
    """Fails its first attempts, after the effect has happened."""

    async def run(self, arguments: AnyArguments, attempt: Attempt) -> Succeeded[Said] | Failed | Waiting:
        """See :class:`FakeRunner`."""
        await self.effect(arguments, attempt, "effect")
        if attempt.attempt <= arguments.failures:
            return failed(ErrorName.HTTP_5XX, "not now")
        return finished(arguments, attempt)


class WaiterRunner(FakeRunner):
    """Goes through several steps, each with an effect of its own."""

    async def run(self, arguments: AnyArguments, attempt: Attempt) -> Succeeded[Said] | Failed | Waiting:
        """See :class:`FakeRunner`."""
        done = int((attempt.state or {}).get("done", 0))
        await self.effect(arguments, attempt, f"part-{done}")
        if done >= arguments.steps:
            return finished(arguments, attempt)
        return waiting({"done": done + 1}, continue_at=attempt.now_ms + 3_000, continue_cause="GO_ON")


class EntityRunner(FakeRunner):
    """Has an entity written with its success."""

    async def run(self, arguments: AnyArguments, attempt: Attempt) -> Succeeded[Said] | Failed | Waiting:
        """See :class:`FakeRunner`."""
        await self.effect(arguments, attempt, "effect")
        key = attempt.effect_key
        attributes = {"name": key.task, "token": str(key), **({"poison": True} if arguments.is_poison else {})}
        intent = EntityIntent(ENTITY_TYPE, f"tables/{key}", attributes)
        return finished(arguments, attempt, intent)


class ApprovalRunner(FakeRunner):
    """Opens a question, then tells people of it."""

    async def run(self, arguments: AnyArguments, attempt: Attempt) -> Succeeded[Said] | Failed | Waiting:
        """See :class:`FakeRunner`."""
        state = dict(attempt.state or {})
        if "tell" in state:
            if state["tell"]:
                await self.effect(arguments, attempt, f"tell-{attempt.effect_key.step}")
            return waiting({"tell": []})
        approval = {
            "rule": arguments.rule,
            "title": arguments.say,
            "body": "",
            "options": ["APPROVED", "REJECTED"],
            "recipients": [{"name": name, "email": f"{name}@example.org"} for name in arguments.approvers],
            "due_at": attempt.now_ms + arguments.due_in_ms,
            "prevent_self_approval": True,
            "require_comment_on": [],
        }
        return waiting(
            {"approval": approval, "tell": list(arguments.approvers)},
            continue_at=attempt.now_ms,
            continue_cause="TELL",
        )


RUNNERS: Final[dict[str, type[FakeRunner]]] = {
    EFFECT: FakeRunner,
    FLAKY: FlakyRunner,
    WAITER: WaiterRunner,
    ENTITY: EntityRunner,
    APPROVAL: ApprovalRunner,
}


def manifest_of(block_type: str) -> Manifest:
    """The manifest of a fake block."""
    return Manifest(
        type=block_type,
        title=block_type.title(),
        summary="A block of simulated worlds.",
        category="Control",
        icon="flask",
        owners=("blockline",),
        stability="stable",
        delivery="once",
        timeout_seconds=TIMEOUT_S,
        capabilities=("human",) if block_type == APPROVAL else (),
    )


def block_defaults() -> dict[str, dict[str, Any]]:
    """What requests carry of the fake blocks."""
    retry = [
        {
            "errorEquals": ["Task.ALL"],
            "intervalSeconds": 2,
            "maxAttempts": 3,
            "backoffRate": 2.0,
            "jitterStrategy": "FULL",
        }
    ]
    return {name: {"lease_ms": LEASE_MS, "timeout_s": TIMEOUT_S, "retry": retry} for name in TYPES}
