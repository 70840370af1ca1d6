"""One port for the API, the embedded Atlas and the directory; for all of them: no page of somebody else's writes."""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import ApiError
from pipeline.local.atlas.app import refusal
from pipeline.local.atlas.errors import AtlasError, Code
from pipeline.local.atlas.scim import PATH as SCIM_PATH

ATLAS_PATHS: Final = ("/api/atlas", "/api/meta")
_READS: Final = frozenset({"GET", "HEAD"})
_OURS: Final = frozenset({"none", "same-origin"})
_FOREIGN: Final = "A page of another site may not do this in your name."


def front(api: ASGIApp, atlas: ASGIApp | None, scim: ASGIApp) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The applications by path; what would be Atlas' is the API's where Atlas is somewhere else."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_atlas = atlas is not None and scope["type"] == "http" and scope["path"].startswith(ATLAS_PATHS)
        if scope["type"] == "http" and scope["method"] not in _READS and _is_of_a_foreign_page(Request(scope)):
            await _refused(scope["path"], is_atlas=is_atlas)(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(SCIM_PATH + "/"):
            await scim(scope, receive, send)
        else:
            await (atlas if atlas is not None and is_atlas else api)(scope, receive, send)

    return app


def _is_of_a_foreign_page(request: Request) -> bool:
    """A page of somebody else's must not act with the password that the browser remembers for us."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in _OURS
    # Over plain HTTP to another machine a browser says the page's origin only. Programs say neither.
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


def _refused(path: str, *, is_atlas: bool) -> Response:
    if is_atlas:
        return refusal(AtlasError(Code.FORBIDDEN, _FOREIGN))
    return ApiError("forbidden", _FOREIGN).response(path)
