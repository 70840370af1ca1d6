"""What the API's ports are on one machine."""

from collections.abc import Sequence
from typing import Any, Final

import httpx

from api.ports import AuditEntry, Mail
from pipeline.mail.sqlite import SqliteMailbox
from pipeline.messages.canonical import decode
from pipeline.store.atlas_http import PYATLAN_PATH, AtlasAccess, AtlasTransport
from pipeline.store.port import StoreUnavailableError

AUDIT_MAX: Final = 1_000


class KeptMails:
    """See :class:`api.ports.Mails`: the outbox in the mailbox's file."""

    def __init__(self, mailbox: SqliteMailbox) -> None:
        """The mailbox is the caller's to close."""
        self._mailbox = mailbox

    async def kept(self, limit: int) -> Sequence[Mail]:
        """See the port."""
        return [Mail(mail.at, mail.recipient, mail.subject, mail.text) for mail in self._mailbox.list_outbox(limit)]


class AtlasAudit:
    """See :data:`api.ports.Audit`: Atlas' own record of an entity."""

    def __init__(self, access: AtlasAccess, transport: httpx.AsyncBaseTransport | None) -> None:
        """``transport`` as for the store."""
        self._http = httpx.AsyncClient(base_url=access.url + PYATLAN_PATH, transport=AtlasTransport(access, transport))

    async def __call__(self, guid: str) -> Sequence[AuditEntry]:
        """The entity's changes, oldest first."""
        answer = await self._http.get(f"entity/{guid}/audit", params={"count": AUDIT_MAX})
        entries: Any = decode(answer.content)
        if not isinstance(entries, list):
            raise StoreUnavailableError("Atlas' audit can't be read.")
        return [
            AuditEntry(int(entry["timestamp"]), str(entry["user"]), str(entry["action"])) for entry in reversed(entries)
        ]

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        await self._http.aclose()
