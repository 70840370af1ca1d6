"""APPROVAL: asks people for a decision. It opens the question and tells people; the state machine decides."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from pipeline.blocks.contract import Arguments, Attempt, Failed, Runner, Waiting, failed, waiting
from pipeline.core.durations import parse_duration_ms
from pipeline.core.errors import BlocklineError, ErrorName
from pipeline.core.limits import RECIPIENTS_MAX
from pipeline.directory.port import Directory, Person
from pipeline.mail.port import MailConnectionError, Mailer, MailRefusedError, is_address
from udfs.runners.approval.arguments import ApprovalArguments, ApprovalOutput, Approvers
from udfs.runners.approval.telling import question_mail

TELL: Final = "TELL"
TELL_MAILS_MAX: Final = 20
"""Mails a step: the rest follows in the next, so that a step stays far within its time-out."""
TELL_DELAY_MS: Final = 5_000
TELL_DELAY_MAX_MS: Final = 300_000


class ApproversError(BlocklineError):
    """Nobody can be asked; the text says why."""


class ApprovalRunner(Runner[ApprovalArguments, ApprovalOutput]):
    """Step 0 finds the approvers and opens the question; later steps (cause TELL) mail them.

    Repeating is safe: opening has no effect of its own, and every mail has a Message-ID of the opening step and
    its recipient, whichever step sends it.
    """

    arguments_type: ClassVar[type[Arguments]] = ApprovalArguments
    output_type: ClassVar[type[BaseModel]] = ApprovalOutput

    def __init__(self, *, directory: Directory, mailer: Mailer, public_url: str) -> None:
        """``public_url`` is where people reach Blockline; mails have no link where it is empty."""
        self._directory = directory
        self._mailer = mailer
        self._public_url = public_url

    async def run(self, arguments: ApprovalArguments, attempt: Attempt) -> Failed | Waiting:
        """See :class:`pipeline.blocks.contract.Runner`."""
        if attempt.cause is None:
            return await self._open(arguments, attempt)
        if attempt.cause == TELL and attempt.state is not None:
            return await self._tell(attempt.state, attempt)
        return failed(ErrorName.ENGINE_INTERNAL, f"an approval can't be continued for {attempt.cause}")

    async def _open(self, arguments: ApprovalArguments, attempt: Attempt) -> Failed | Waiting:
        try:
            people = await self._people(arguments.approvers)
            approvers = _askable(people, arguments, attempt.requester_name)
        except ApproversError as error:
            return failed(ErrorName.APPROVAL_NO_APPROVERS, str(error))
        state = {
            "approval": {
                "rule": arguments.rule,
                "title": arguments.title,
                "body": arguments.body,
                "options": list(arguments.options),
                "recipients": [{"name": person.name, "email": person.email} for person in approvers],
                "due_at": attempt.now_ms + parse_duration_ms(arguments.due_in),
                "prevent_self_approval": arguments.prevent_self_approval,
                "require_comment_on": sorted({"REJECTED", *arguments.require_comment_on}),
            },
            "tell": [person.name for person in approvers],
        }
        return waiting(state, continue_at=attempt.now_ms, continue_cause=TELL)

    async def _people(self, approvers: Approvers) -> dict[str, Person]:
        people: dict[str, Person] = {}
        for name in approvers.users:
            person = await self._directory.person(name)
            if person is None:
                raise ApproversError(f"there is no user {name}")
            people[person.name] = person
        for group in approvers.groups:
            members = await self._directory.members(group)
            if members is None:
                raise ApproversError(f"there is no group {group}, or its members aren't known")
            people |= {person.name: person for person in members}
        return people

    async def _tell(self, state: Mapping[str, Any], attempt: Attempt) -> Waiting:
        """Mail the next of those who haven't been told; what can't be sent now is tried again later."""
        batch, rest = state["tell"][:TELL_MAILS_MAX], state["tell"][TELL_MAILS_MAX:]
        unsent: list[str] = []
        never: list[dict[str, str]] = list(state.get("tell_failed", ()))
        is_away = False
        for index, name in enumerate(batch):
            try:
                await self._tell_one(name, state["approval"], attempt)
            except MailConnectionError as error:
                is_away = error.is_server_away
                unsent += batch[index:] if is_away else [name]
            except MailRefusedError as error:
                never.append({"name": name, "reason": str(error)})
            if is_away:
                break
        # Those who were put off come last, so that they hold up nobody. The approval itself is the machine's by now.
        told = {**state, "tell": [*rest, *unsent]}
        del told["approval"]
        if never:
            told["tell_failed"] = never
        if not told["tell"]:
            return waiting({name: value for name, value in told.items() if name != "tell_tries"})
        if rest and not is_away:
            return waiting(told, continue_at=attempt.now_ms, continue_cause=TELL)
        told["tell_tries"] = state.get("tell_tries", 0) + 1
        return waiting(told, continue_at=attempt.now_ms + _delay_ms(told["tell_tries"]), continue_cause=TELL)

    async def _tell_one(self, name: str, approval: Mapping[str, Any], attempt: Attempt) -> None:
        email = next((person.get("email") for person in approval["recipients"] if person["name"] == name), None)
        if not email or not is_address(email):
            raise MailRefusedError("has no mail address")
        await self._mailer.send(question_mail(email, approval, attempt, self._public_url))


def _delay_ms(tries: int) -> int:
    """5 s, 10 s, 20 s … five minutes: for as long as the question is open."""
    return int(min(TELL_DELAY_MS * 2 ** min(tries - 1, 10), TELL_DELAY_MAX_MS))


def _askable(people: Mapping[str, Person], arguments: ApprovalArguments, requester: str) -> list[Person]:
    excluded = {requester} if arguments.prevent_self_approval else set()
    askable = [people[name] for name in sorted(people) if name not in excluded]
    if not askable and people:
        raise ApproversError("the only approver is the one who asks, and can't approve their own request")
    if not askable:
        raise ApproversError("no approvers: name users, or groups with members")
    if len(askable) > RECIPIENTS_MAX:
        raise ApproversError(f"{len(askable)} approvers; one approval asks {RECIPIENTS_MAX} at most")
    return askable
