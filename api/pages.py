"""The few plain pages until there is a user interface: where to go from here, what one is asked, the local outbox."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from html import escape
from shlex import quote
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.paging import rfc3339
from api.ports import Mail
from api.problems import not_found
from api.questions import item_view, items_for
from api.rights import Role, require_role
from api.services import Services
from pipeline.core.statuses import ItemStatus
from pipeline.store import types
from pipeline.store.port import Filter

OUTBOX_SHOWN_MAX: Final = 100
QUESTIONS_SHOWN_MAX: Final = 100
_GUID_CHARS_MAX: Final = 200
Endpoint = Callable[[Request], Awaitable[Response]]
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "a{color:#0b57d0}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f3f4f6;padding:.75rem}"
    "h2{font-size:1.1rem;margin:1.5rem 0 0}p.meta{color:#57606a;margin:.2rem 0}"
    "@media(prefers-color-scheme:dark){body{background:#14171a;color:#e6e8ea}a{color:#8ab4f8}"
    "pre{background:#22262b}p.meta{color:#a0a8b0}}"
)


def page(title: str, body: str) -> str:
    """An HTML page; ``body`` is HTML, its texts escaped by the caller."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
    )


def endpoints(services: Services) -> dict[str, Endpoint]:
    """The endpoints by path."""

    async def root(_: Request) -> Response:
        links = [
            ("/inbox", "What you are asked"),
            ("/docs", "The interface, to read and to try"),
            ("/openapi.json", "The same for programs (OpenAPI 3.1)"),
            ("/readyz", "Whether everything is ready"),
            ("/metrics", "Numbers for Prometheus"),
        ]
        if services.mails is not None:
            links.append(("/outbox", "Mails that stayed here, since no mail server is set (administrators)"))
        items = "".join(f'<li><a href="{escape(to)}">{escape(to)}</a>: {escape(text)}</li>' for to, text in links)
        body = (
            "<h1>Blockline</h1><p>It runs. Work with it by the command line (<code>blockline --help</code>) "
            f"or by its API:</p><ul>{items}</ul>"
        )
        return HTMLResponse(page("Blockline", body), headers=_HEADERS)

    async def inbox(request: Request) -> Response:
        """Where the link of a mail leads: what the caller is asked, of one run (``?run=``) or of all."""
        caller = await services.authenticator.caller(request)
        filters = [Filter(types.ITEM_STATUS, "eq", ItemStatus.OPEN.value)]
        run = request.query_params.get("run", "")[:_GUID_CHARS_MAX]
        if run:
            filters.append(Filter(types.ITEM_RUN_GUID, "eq", run))
        items = await items_for(services, caller, filters, limit=QUESTIONS_SHOWN_MAX)
        body = _inbox(caller.name, [item_view(item) for item in items], is_of_run=bool(run))
        return HTMLResponse(page("Inbox", body), headers=_HEADERS)

    async def outbox(request: Request) -> Response:
        require_role(await services.authenticator.caller(request), Role.ADMIN)
        if services.mails is None:
            raise not_found("page: mails are sent by the mail server")
        mails = await services.mails.kept(OUTBOX_SHOWN_MAX)
        return HTMLResponse(page("Outbox", _outbox(mails)), headers=_HEADERS)

    return {"/": root, "/inbox": inbox, "/outbox": outbox}


def _inbox(name: str, items: Sequence[Mapping[str, Any]], *, is_of_run: bool) -> str:
    head = f"<h1>What {escape(name)} is asked</h1>"
    if not items:
        what = "Nothing of this run is asked of you (any more)" if is_of_run else "Your inbox is empty"
        rest = ' <a href="/inbox">Everything you are asked</a>' if is_of_run else ""
        return f"{head}<p>{what}.{rest}</p>"
    return head + "".join(_question(item) for item in items)


def _question(item: Mapping[str, Any]) -> str:
    due = f", until {escape(_minute(item['due_at']))}" if item["due_at"] else ""
    whom = f", of anybody in {escape(item['recipient'])}" if item["is_for_group"] else ""
    body = f"<p>{escape(item['body'])}</p>" if item["body"] else ""
    asked_for = ", ".join(f'"{name}": …' for name in (item["form"] or {}).get("properties", {}))
    form = f" --form '{{{asked_for}}}'" if item["form"] else ""
    commands = "\n".join(f"blockline task decide {item['guid']} {quote(option)}{form}" for option in item["options"])
    return (
        f'<article><h2>{escape(item["title"])}</h2><p class="meta">asked by {escape(item["requester"])}{whom}{due}</p>'
        f"{body}<p>Answer it on the command line; <code>--comment</code> says why, which a rejection must:</p>"
        f"<pre>{escape(commands)}</pre></article>"
    )


def _minute(instant: str) -> str:
    """For people: ``2026-11-30 18:02 UTC``."""
    return f"{instant[:10]} {instant[11:16]} UTC"


def _outbox(mails: Sequence[Mail]) -> str:
    head = (
        "<h1>Outbox</h1><p>No mail server is set (<code>BLOCKLINE_SMTP_URL</code>), so these mails stayed here; "
        f"the newest {OUTBOX_SHOWN_MAX} are shown.</p>"
    )
    if not mails:
        return f"{head}<p>There are none yet.</p>"
    return head + "".join(
        f'<article><h2>{escape(mail.subject)}</h2><p class="meta">to {escape(mail.recipient)}, '
        f"{escape(rfc3339(mail.at) or '')}</p><pre>{escape(mail.text)}</pre></article>"
        for mail in mails
    )
