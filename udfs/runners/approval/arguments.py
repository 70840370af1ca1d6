"""What APPROVAL is asked with, and what it ends with."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.blocks.contract import Arguments, NotYet, Output, available
from pipeline.core.durations import DurationError, parse_duration_ms
from pipeline.core.limits import RECIPIENTS_MAX

Name = Annotated[str, Field(min_length=1, max_length=128)]
Option = Literal["APPROVED", "REJECTED"]


def _duration(text: str) -> str:
    try:
        parse_duration_ms(text)
    except DurationError as error:
        raise ValueError(str(error)) from None
    return text


def _both(options: list[Option]) -> list[Option]:
    if options != ["APPROVED", "REJECTED"]:
        raise ValueError('can only be ["APPROVED", "REJECTED"] in this version')
    return options


class Approvers(Arguments):
    """Who is asked: users, and the members of groups; everybody once."""

    users: list[Name] = Field(default_factory=list, title="Users", max_length=RECIPIENTS_MAX)
    groups: list[Name] = Field(default_factory=list, title="Groups", max_length=RECIPIENTS_MAX)
    owners: NotYet = None
    expression: NotYet = None


class ApprovalArguments(Arguments):
    """A question to people, and until when they can answer it."""

    title: str = Field(title="Question", min_length=1, max_length=200)
    body: str = Field(default="", title="What they should know", max_length=8000)
    approvers: Approvers = Field(title="Approvers")
    rule: Annotated[Literal["ANY", "ALL"], available("ANY", "ALL")] = Field(
        default="ANY", title="Rule", description="ANY: the first decision counts; ALL: one rejection, or all approve"
    )
    due_in: Annotated[str, AfterValidator(_duration)] = Field(
        alias="dueIn", title="Time to decide", description="An ISO 8601 duration: P3D is three days, PT4H four hours"
    )
    prevent_self_approval: bool = Field(
        default=True,
        alias="preventSelfApproval",
        title="No self-approval",
        description="Whoever started the run isn't asked",
    )
    require_comment_on: list[Option] = Field(
        default_factory=list,
        alias="requireCommentOn",
        title="Comment needed for",
        description="Decisions that need a comment; REJECTED always does",
    )
    options: Annotated[list[Option], AfterValidator(_both)] = Field(default=["APPROVED", "REJECTED"], title="Options")
    order: Annotated[Literal["PARALLEL"], available("PARALLEL")] = Field(default="PARALLEL", title="Order")
    on_due: Annotated[Literal["EXPIRE"], available("EXPIRE")] = Field(
        default="EXPIRE", alias="onDue", title="When the time is up"
    )
    on_no_approvers: Annotated[Literal["FAIL"], available("FAIL")] = Field(
        default="FAIL", alias="onNoApprovers", title="When nobody is left to ask"
    )
    form: NotYet = None
    auto_approve: NotYet = Field(default=None, alias="autoApprove")
    reminders: NotYet = None
    escalate_to: NotYet = Field(default=None, alias="escalateTo")


class ApprovalOutput(Output):
    """The decision, who made it, and the comment of the last one."""

    decision: Option
    decided_by: list[str]
    comment: str | None = None
