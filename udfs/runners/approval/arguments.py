"""What APPROVAL is asked with, and what it ends with."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator
from pydantic.json_schema import SkipJsonSchema

from pipeline.blocks.contract import Arguments, Output, misfit
from pipeline.core.durations import DurationError, parse_duration_ms
from pipeline.core.limits import OPTION_CHARS_MAX, OPTIONS_MAX, RECIPIENTS_MAX, REMINDERS_MAX

Name = Annotated[str, Field(min_length=1, max_length=128)]
Meaning = Literal["APPROVED", "REJECTED"]
NEEDS_MEMBERS: Final = frozenset({"ALL", "ALL_RESPONDED_ANY", "PERCENT"})
"""Rules that count those who are asked."""


def _duration(text: str) -> str:
    try:
        parse_duration_ms(text)
    except DurationError as error:
        raise ValueError(str(error)) from None
    return text


def _reminder(text: str) -> str:
    return _duration(text.removeprefix("-")) and text


Duration = Annotated[str, AfterValidator(_duration)]


class OwnOption(Arguments):
    """An answer beside APPROVED and REJECTED."""

    name: str = Field(title="Name", min_length=1, max_length=OPTION_CHARS_MAX)
    counts_as: Meaning = Field(alias="countsAs", title="Counts as")


Option = Meaning | OwnOption


def name_of(option: Option) -> str:
    """The name under which it is chosen."""
    return option.name if isinstance(option, OwnOption) else option


def meaning_of(option: Option) -> str:
    """What it counts as."""
    return option.counts_as if isinstance(option, OwnOption) else option


class Owners(Arguments):
    """What ``owners: true`` stands for once the question opens."""

    users: list[str] = Field(default_factory=list)
    groups: list[str] = Field(default_factory=list)


class Approvers(Arguments):
    """Who is asked; everybody once."""

    users: list[Name] = Field(default_factory=list, title="Users", max_length=RECIPIENTS_MAX)
    groups: list[Name] = Field(default_factory=list, title="Groups", max_length=RECIPIENTS_MAX)
    owners: bool | SkipJsonSchema[Owners] = Field(
        default=False, title="Owners", description="Owners of the asset, as it was at the start"
    )
    expression: str | SkipJsonSchema[JsonValue] = Field(
        default=None, title="By expression", description="CEL that gives the name of a user, or a list of names"
    )


class EscalateTo(Arguments):
    """Who is asked when nobody decided in time, or nobody could be asked; the first of them decides."""

    users: list[Name] = Field(default_factory=list, title="Users", max_length=RECIPIENTS_MAX)
    groups: list[Name] = Field(default_factory=list, title="Groups", max_length=RECIPIENTS_MAX)
    due_in: Duration | None = Field(
        default=None, alias="dueIn", title="Time to decide", description="As long as before, where it isn't given"
    )

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if not self.users and not self.groups:
            raise misfit("escalateTo must name users or groups")
        return self


class ApprovalArguments(Arguments):
    """A question to people, and until when they can answer it."""

    title: str = Field(title="Question", min_length=1, max_length=200)
    body: str = Field(default="", title="What they should know", max_length=8000)
    approvers: Approvers = Field(title="Approvers")
    rule: Literal["ANY", "ALL", "ALL_RESPONDED_ANY", "COUNT", "PERCENT"] = Field(
        default="ANY",
        title="Rule",
        description="ANY: the first decision counts; ALL: one rejection, or all approve; ALL_RESPONDED_ANY: all are "
        "heard, one approval is enough; COUNT, PERCENT: so many must approve",
    )
    count: int | None = Field(default=None, title="Approvals needed", ge=1, le=RECIPIENTS_MAX)
    percent: int | None = Field(default=None, title="Percent of approvals needed", ge=1, le=100)
    order: Literal["PARALLEL", "SEQUENTIAL"] = Field(
        default="PARALLEL", title="Order", description="SEQUENTIAL asks one after the other"
    )
    due_in: Duration = Field(
        alias="dueIn", title="Time to decide", description="An ISO 8601 duration: P3D is three days, PT4H four hours"
    )
    prevent_self_approval: bool = Field(
        default=True,
        alias="preventSelfApproval",
        title="No self-approval",
        description="Whoever started the run isn't asked",
    )
    options: list[Option] = Field(
        default=["APPROVED", "REJECTED"], title="Options", min_length=1, max_length=OPTIONS_MAX
    )
    require_comment_on: list[Name] = Field(
        default_factory=list,
        alias="requireCommentOn",
        title="Comment needed for",
        max_length=OPTIONS_MAX,
        description="Options that need a comment; what counts as a rejection always does",
    )
    form: dict[str, JsonValue] | None = Field(
        default=None, title="Form", description="JSON Schema of what is to be filled in with the decision"
    )
    auto_approve: str | SkipJsonSchema[bool] | None = Field(
        default=None, alias="autoApprove", title="Approve without asking if", description="CEL; true asks nobody"
    )
    reminders: list[Annotated[str, AfterValidator(_reminder)]] = Field(
        default_factory=list,
        title="Reminders",
        max_length=REMINDERS_MAX,
        description="P1D: a day after the question opened; -PT4H: four hours before it is due",
    )
    on_due: Literal["EXPIRE", "APPROVE", "REJECT", "ESCALATE"] = Field(
        default="EXPIRE", alias="onDue", title="When the time is up"
    )
    escalate_to: EscalateTo | None = Field(default=None, alias="escalateTo", title="Escalate to")
    on_no_approvers: Literal["FAIL", "ESCALATE"] = Field(
        default="FAIL", alias="onNoApprovers", title="When nobody is left to ask"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for is_wrong, what in self._misfits():
            if is_wrong:
                raise misfit(what)
        return self

    def _misfits(self) -> tuple[tuple[bool, str], ...]:
        # A template may still become one of the others.
        names = [name_of(option) for option in self.options if "{{" not in name_of(option)]
        is_certain = len(names) == len(self.options)
        meanings = {name_of(option): meaning_of(option) for option in self.options}
        foreign = [
            name
            for name in self.require_comment_on
            if name not in {*names, "APPROVED", "REJECTED"} and "{{" not in name
        ]
        swapped = [name for name in ("APPROVED", "REJECTED") if meanings.get(name, name) != name]
        escalates = "ESCALATE" in {self.on_due, self.on_no_approvers}
        late = [text for text in self.reminders if not self._is_in_time(text)]
        return (
            (self.rule == "COUNT" and self.count is None, "the rule COUNT needs count: how many must approve"),
            (self.rule == "PERCENT" and self.percent is None, "the rule PERCENT needs percent: how many must approve"),
            (self.count is not None and self.rule != "COUNT", "count belongs to the rule COUNT"),
            (self.percent is not None and self.rule != "PERCENT", "percent belongs to the rule PERCENT"),
            (len(set(names)) < len(names), "options: one is there twice"),
            (bool(swapped), f"options: {' and '.join(swapped)} can only count as what the name says"),
            ("APPROVED" not in meanings.values(), "options: one must count as APPROVED"),
            (bool(foreign) and is_certain, f"requireCommentOn: {', '.join(foreign)} isn't one of the options"),
            (escalates and self.escalate_to is None, "ESCALATE needs escalateTo: who is asked then"),
            (self.escalate_to is not None and not escalates, "escalateTo needs onDue or onNoApprovers to be ESCALATE"),
            (bool(late), f"reminders: {', '.join(late)} is longer than dueIn, so nobody would be reminded"),
        )

    def _is_in_time(self, reminder: str) -> bool:
        return parse_duration_ms(reminder.removeprefix("-")) < parse_duration_ms(self.due_in)


class ApprovalOutput(Output):
    """The decision: the option that was chosen, by whom, and the last one's comment.

    ``how`` is there where not the rule decided: AUTO (``autoApprove``), DUE (``onDue``), OVERRIDE (an administrator).
    ``form`` is what was filled in with the decision, where the question has a form.
    """

    decision: str
    decided_by: list[str]
    comment: str | None = None
    how: Literal["AUTO", "DUE", "OVERRIDE"] | None = None
    form: Any = None
