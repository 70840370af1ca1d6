"""What the contract names and this version doesn't have yet: said with a sentence, never silently."""

from typing import Final

from starlette.responses import Response

from api.problems import ApiError
from api.route import Call, Route

_ABSENT: Final = (
    ("POST", "/workflows/simulate", "Simulating a workflow", "workflows"),
    ("POST", "/runs/batch", "Starting runs as a batch", "runs"),
    ("POST", "/runs/{guid}/retry-failed", "Retrying failed tasks", "runs"),
    ("POST", "/runs/{guid}/restart", "Restarting a run", "runs"),
    ("POST", "/runs/{guid}/rerun", "Running again from a task", "runs"),
    ("POST", "/callbacks/{token}", "Answering a CALLBACK task", "runs"),
    ("POST", "/hooks/{workflow}", "Starting by a web hook", "workflows"),
)


def _route(method: str, path: str, what: str, tag: str) -> Route:
    async def refuse(_: Call) -> Response:
        raise ApiError("not-available", f"{what} isn't available in this version.")

    return Route(
        method, path, refuse, f"{what} (not in this version)", tag, answers={501: "not in this version"}, is_raw=True
    )


ROUTES: Final = tuple(_route(*absent) for absent in _ABSENT)
