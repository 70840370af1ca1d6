"""NOTIFICATION: tells people by mail."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field

from pipeline.blocks.contract import (
    Arguments,
    Attempt,
    Failed,
    Output,
    Runner,
    Succeeded,
    available,
    failed,
    succeeded,
)
from pipeline.core.errors import BlocklineError, ErrorName
from pipeline.core.limits import RECIPIENTS_MAX
from pipeline.directory.port import Directory
from pipeline.mail.port import (
    ADDRESS_CHARS_MAX,
    Mail,
    MailConnectionError,
    Mailer,
    MailRefusedError,
    is_address,
    message_id_of,
    same_address,
)

Recipient = Annotated[str, Field(min_length=1, max_length=ADDRESS_CHARS_MAX)]


class Payload(Arguments):
    """What the mail says."""

    title: str = Field(title="Title", description="The mail's subject", min_length=1, max_length=200)
    description: str = Field(title="Text", description="Plain text; an empty line parts paragraphs", max_length=20_000)
    html: str | None = Field(
        default=None,
        title="HTML",
        description="Shown instead of the text where HTML is shown. It is sent as it stands: put no template into it "
        "whose value you don't trust",
        max_length=100_000,
    )


class NotificationArguments(Arguments):
    """Whom to tell what."""

    recipient: Recipient | Annotated[list[Recipient], Field(min_length=1, max_length=RECIPIENTS_MAX)] = Field(
        title="To", description="A mail address, the name of a user or of a group, or a list of these"
    )
    payload: Payload = Field(title="Message")
    channel: Annotated[Literal["EMAIL"], available("EMAIL")] = Field(default="EMAIL", title="Channel")


class NotificationOutput(Output):
    """Whom it went to. ``via`` is OUTBOX where no mail server is configured: then the mails stay on the server."""

    channel: Literal["EMAIL"] = "EMAIL"
    via: Literal["SMTP", "OUTBOX"]
    recipients: list[str]


class RecipientError(BlocklineError):
    """A recipient that can't be told; the text names it."""


class NotificationRunner(Runner[NotificationArguments, NotificationOutput]):
    """Sends a mail to each recipient, under a Message-ID of effect key and address.

    Repeating is safe: the mailer asks its journal, so whoever has got the mail isn't sent another. Where some
    recipients can't be told now, the others are, and the retry finishes the rest.
    """

    arguments_type: ClassVar[type[Arguments]] = NotificationArguments
    output_type: ClassVar[type[BaseModel]] = NotificationOutput

    def __init__(self, *, directory: Directory, mailer: Mailer) -> None:
        """``directory`` knows the addresses of users and groups."""
        self._directory = directory
        self._mailer = mailer

    async def run(self, arguments: NotificationArguments, attempt: Attempt) -> Succeeded[NotificationOutput] | Failed:
        """See :class:`pipeline.blocks.contract.Runner`."""
        asked = [arguments.recipient] if isinstance(arguments.recipient, str) else arguments.recipient
        try:
            addresses = await self._addresses(asked)
        except RecipientError as error:
            return failed(ErrorName.VALIDATION_INPUT, str(error))
        return await self._send(addresses, arguments.payload, attempt)

    async def _addresses(self, asked: list[str]) -> list[str]:
        """The addresses of all recipients, each once, in order."""
        addresses: dict[str, None] = {}
        for name in asked:
            for address in [name] if "@" in name else await self._addresses_of(name):
                if not is_address(address):
                    raise RecipientError(f"recipient: {address} isn't a mail address")
                addresses.setdefault(same_address(address))
        if len(addresses) > RECIPIENTS_MAX:
            raise RecipientError(f"recipient: {len(addresses)} people; one notification tells {RECIPIENTS_MAX} at most")
        return list(addresses)

    async def _addresses_of(self, name: str) -> list[str]:
        person = await self._directory.person(name)
        if person is not None:
            if not person.email:
                raise RecipientError(f"recipient: the user {name} has no mail address")
            return [person.email]
        members = await self._directory.members(name)
        if members is None:
            raise RecipientError(f"recipient: there is no user {name}, and no group {name} whose members are known")
        found = [member.email for member in members if member.email]
        if not found:
            raise RecipientError(f"recipient: nobody in the group {name} has a mail address")
        return found

    async def _send(
        self, addresses: list[str], payload: Payload, attempt: Attempt
    ) -> Succeeded[NotificationOutput] | Failed:
        vias: set[str] = set()
        later: list[str] = []
        refused: list[str] = []
        for address in addresses:
            try:
                receipt = await self._mailer.send(_mail(address, payload, attempt))
            except MailConnectionError as error:
                later.append(str(error))
                if error.is_server_away:
                    break
            except MailRefusedError as error:
                refused.append(f"{address}: {error}")
            else:
                vias.add(receipt.via)
        if later:
            return failed(ErrorName.MAIL_CONNECTION, later[0])
        if refused:
            return failed(ErrorName.MAIL_REFUSED, "; ".join(refused))
        return succeeded(NotificationOutput(via="SMTP" if "SMTP" in vias else "OUTBOX", recipients=addresses))


def _mail(address: str, payload: Payload, attempt: Attempt) -> Mail:
    return Mail(
        recipient=address,
        title=payload.title,
        description=payload.description,
        html=payload.html,
        message_id=message_id_of(attempt.effect_key, address),
        at_ms=attempt.now_ms,
    )
