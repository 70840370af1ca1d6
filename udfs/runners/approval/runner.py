"""APPROVAL: asks people for a decision. It opens the question and tells people; the state machine decides."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from pipeline.blocks.contract import Arguments, Attempt, Failed, Runner, Succeeded, Waiting, failed, succeeded, waiting
from pipeline.core.durations import parse_duration_ms
from pipeline.core.errors import ErrorName
from pipeline.core.ids import GROUP_PREFIX
from pipeline.directory.port import Directory
from pipeline.mail.port import MailConnectionError, Mailer, MailRefusedError, is_address
from udfs.runners.approval.approvers import ApproversError, Found, UncountableError, approvers_of, named
from udfs.runners.approval.arguments import ApprovalArguments, ApprovalOutput, EscalateTo, meaning_of, name_of
from udfs.runners.approval.telling import question_mail

TELL: Final = "TELL"
REMIND: Final = "REMIND"
ESCALATE: Final = "ESCALATE"
TELL_MAILS_MAX: Final = 20
"""Mails a step: the rest follows in the next, so that a step stays far within its time-out."""
TELL_DELAY_MS: Final = 5_000
TELL_DELAY_MAX_MS: Final = 300_000
Notice = str | Mapping[str, Any]
"""An entry of ``tell``: a name, or ``{"name", "reminder": its number}``."""


class ApprovalRunner(Runner[ApprovalArguments, ApprovalOutput]):
    """Step 0 finds the approvers and opens the question; later steps mail them (cause TELL), remind them (REMIND), and
    put the question to others (ESCALATE).

    Repeating is safe: opening has no effect of its own, and every mail has a Message-ID of its question, its
    recipient and its reminder, whichever step sends it.
    """

    arguments_type: ClassVar[type[Arguments]] = ApprovalArguments
    output_type: ClassVar[type[BaseModel]] = ApprovalOutput

    def __init__(self, *, directory: Directory, mailer: Mailer, public_url: str) -> None:
        """``public_url`` is where people reach Blockline; mails have no link where it is empty."""
        self._directory = directory
        self._mailer = mailer
        self._public_url = public_url

    async def run(self, arguments: ApprovalArguments, attempt: Attempt) -> Succeeded[ApprovalOutput] | Failed | Waiting:
        """See :class:`pipeline.blocks.contract.Runner`."""
        if attempt.cause is None:
            return await self._open(arguments, attempt)
        if attempt.cause == ESCALATE and arguments.escalate_to is not None:
            return await self._escalate(arguments, arguments.escalate_to, attempt)
        if attempt.cause in {TELL, REMIND} and attempt.state is not None:
            return await self._tell(attempt.state, attempt)
        return failed(ErrorName.ENGINE_INTERNAL, f"an approval can't be continued for {attempt.cause}")

    async def _open(
        self, arguments: ApprovalArguments, attempt: Attempt
    ) -> Succeeded[ApprovalOutput] | Failed | Waiting:
        if arguments.auto_approve is True:
            option = next(name_of(one) for one in arguments.options if meaning_of(one) == "APPROVED")
            comment = "Approved without asking anybody: autoApprove is true."
            return succeeded(ApprovalOutput(decision=option, decided_by=[], comment=comment, how="AUTO"))
        try:
            found = await approvers_of(arguments.approvers, self._directory)
            found.check_rule(arguments.rule)
            recipients = found.recipients(without=_excluded(arguments, attempt))
        except UncountableError as error:
            return failed(ErrorName.APPROVAL_NO_APPROVERS, str(error))
        except ApproversError as error:
            if arguments.on_no_approvers == "ESCALATE" and arguments.escalate_to is not None:
                return await self._escalate(arguments, arguments.escalate_to, attempt)
            return failed(ErrorName.APPROVAL_NO_APPROVERS, str(error))
        due_at = attempt.now_ms + parse_duration_ms(arguments.due_in)
        return _asked(arguments, recipients, due_at, attempt)

    async def _escalate(self, arguments: ApprovalArguments, to: EscalateTo, attempt: Attempt) -> Failed | Waiting:
        """The question to others, the first of whom decides."""
        try:
            found: Found = await named(to.users, to.groups, self._directory)
            recipients = found.recipients(without=_excluded(arguments, attempt))
        except ApproversError as error:
            return failed(ErrorName.APPROVAL_NO_APPROVERS, f"nobody to escalate to: {error}")
        due_at = attempt.now_ms + parse_duration_ms(to.due_in or arguments.due_in)
        changes = {"rule": "ANY", "count": None, "percent": None, "order": "PARALLEL"}
        return _asked(arguments.model_copy(update=changes), recipients, due_at, attempt, is_escalated=True)

    async def _tell(self, state: Mapping[str, Any], attempt: Attempt) -> Waiting:
        """Mail the next of those who haven't been told; what can't be sent now is tried again later."""
        approval = state["approval"]
        pending, reminders = _with_reminders(state, approval, attempt.now_ms)
        batch, rest = pending[:TELL_MAILS_MAX], pending[TELL_MAILS_MAX:]
        unsent: list[Notice] = []
        never: list[dict[str, str]] = list(state.get("tell_failed", ()))
        is_away = False
        for index, notice in enumerate(batch):
            try:
                await self._tell_one(notice, approval, attempt)
            except MailConnectionError as error:
                is_away = error.is_server_away
                unsent += batch[index:] if is_away else [notice]
            except MailRefusedError as error:
                name, reminder = _notice(notice)
                if reminder is None:
                    never.append({"name": name, "reason": str(error)})
            if is_away:
                break
        # Those who were put off come last, so that they hold up nobody. The approval itself is the machine's by now.
        told = {**state, "tell": [*rest, *unsent], "reminders": reminders}
        del told["approval"]
        if not reminders:
            del told["reminders"]
        if never:
            told["tell_failed"] = never
        return _goes_on(told, has_more=bool(rest) and not is_away, now_ms=attempt.now_ms)

    async def _tell_one(self, notice: Notice, approval: Mapping[str, Any], attempt: Attempt) -> None:
        name, reminder = _notice(notice)
        recipient = next((person for person in _asked_now(approval) if person["name"] == name), None)
        if recipient is None:
            return  # decided, handed on or escalated meanwhile: nothing is asked of them any more
        if "group" in recipient:
            raise MailRefusedError("the members of this group aren't known, so nobody was told")
        email = recipient.get("email")
        if not email or not is_address(email):
            raise MailRefusedError("has no mail address")
        await self._mailer.send(question_mail(recipient, email, reminder, attempt, self._public_url))


def _excluded(arguments: ApprovalArguments, attempt: Attempt) -> str | None:
    return attempt.requester_name if arguments.prevent_self_approval else None


def _asked(
    arguments: ApprovalArguments,
    recipients: Sequence[Mapping[str, Any]],
    due_at: int,
    attempt: Attempt,
    *,
    is_escalated: bool = False,
) -> Waiting:
    """The question as the state machine takes it; who is asked first is told at once."""
    means = {name_of(option): meaning_of(option) for option in arguments.options}
    approval: dict[str, Any] = {
        "rule": arguments.rule,
        "title": arguments.title,
        "body": arguments.body,
        "options": list(means),
        "recipients": list(recipients),
        "due_at": due_at,
        "prevent_self_approval": arguments.prevent_self_approval,
        "require_comment_on": sorted({"REJECTED", *arguments.require_comment_on}),
    }
    optional = {
        "count": arguments.count,
        "percent": arguments.percent,
        "means": {name: means[name] for name in means if means[name] != name},
        "form": arguments.form,
        "order": arguments.order if arguments.order != "PARALLEL" else None,
        "on_due": arguments.on_due if arguments.on_due != "EXPIRE" else None,
        "is_escalated": is_escalated,
    }
    approval |= {name: value for name, value in optional.items() if value}
    names = [_name_of(recipient) for recipient in recipients]
    state: dict[str, Any] = {
        "approval": approval,
        "tell": names[:1] if arguments.order == "SEQUENTIAL" else names,
    }
    reminders = _instants(arguments.reminders, attempt.now_ms, due_at)
    if reminders:
        state["reminders"] = reminders
    return waiting(state, continue_at=attempt.now_ms, continue_cause=TELL)


def _name_of(recipient: Mapping[str, Any]) -> str:
    """As the state machine calls them."""
    return f"{GROUP_PREFIX}{recipient['group']}" if "group" in recipient else str(recipient["name"])


def _instants(reminders: Sequence[str], opened_at: int, due_at: int) -> list[list[int]]:
    """When each reminder is due, in the order of time, with its number; those that nobody could heed are left out."""
    found: list[list[int]] = []
    for number, text in enumerate(reminders):
        length_ms = parse_duration_ms(text.removeprefix("-"))
        at = due_at - length_ms if text.startswith("-") else opened_at + length_ms
        if opened_at < at < due_at:
            found.append([at, number])
    return sorted(found)


def _with_reminders(
    state: Mapping[str, Any], approval: Mapping[str, Any], now_ms: int
) -> tuple[list[Notice], list[list[int]]]:
    """Whom to tell, those included whom a reminder is due for, and the reminders that are left."""
    pending: list[Notice] = list(state["tell"])
    left: list[list[int]] = []
    for at, number in state.get("reminders", ()):
        if at > now_ms:
            left.append([at, number])
            continue
        untold = {_notice(notice)[0] for notice in pending}
        names = [recipient["name"] for recipient in _asked_now(approval) if "group" not in recipient]
        # Who hasn't even been told yet needs no reminder.
        pending += [{"name": name, "reminder": number} for name in names if name not in untold]
    return pending, left


def _notice(notice: Notice) -> tuple[str, int | None]:
    """A name, and the number of the reminder where it is one."""
    return (notice, None) if isinstance(notice, str) else (notice["name"], notice["reminder"])


def _asked_now(approval: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those who are asked and haven't decided."""
    decided = {decision.get("for", decision["by"]) for decision in approval.get("decisions", ())}
    return [
        recipient
        for recipient in approval["recipients"]
        if not recipient.get("waits") and "delegated_to" not in recipient and recipient["name"] not in decided
    ]


def _goes_on(told: dict[str, Any], *, has_more: bool, now_ms: int) -> Waiting:
    """WAITING until there is somebody to tell again."""
    due = [at for at, _ in told.get("reminders", ())]
    if has_more:
        return waiting(told, continue_at=now_ms, continue_cause=TELL)
    if not told["tell"]:
        left = {name: value for name, value in told.items() if name != "tell_tries"}
        if not due:
            return waiting(left)
        return waiting(left, continue_at=due[0], continue_cause=REMIND)
    told["tell_tries"] = told.get("tell_tries", 0) + 1
    again = now_ms + _delay_ms(told["tell_tries"])
    return waiting(told, continue_at=min([again, *due]), continue_cause=TELL)


def _delay_ms(tries: int) -> int:
    """5 s, 10 s, 20 s … five minutes: for as long as the question is open."""
    return int(min(TELL_DELAY_MS * 2 ** min(tries - 1, 10), TELL_DELAY_MAX_MS))
