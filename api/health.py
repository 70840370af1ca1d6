"""What operators and their tools ask; outside ``/api/v1`` and without sign-in."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from api.problems import ApiError
from api.route import reply
from api.services import Services
from pipeline.process.metrics import CONTENT_TYPE, render

Endpoint = Callable[[Request], Awaitable[Response]]


def endpoints(services: Services) -> dict[str, Endpoint]:
    """The endpoints by path."""

    async def healthz(_: Request) -> Response:
        return reply({"status": "ok"})

    async def readyz(_: Request) -> Response:
        parts = await services.ready()
        is_ready = all(parts.values())
        return reply({"status": "ready" if is_ready else "starting", "parts": dict(parts)}, 200 if is_ready else 503)

    async def metrics(_: Request) -> Response:
        text = render() if services.metrics is None else await services.metrics()
        return Response(text, media_type=CONTENT_TYPE)

    async def schema(_: Request) -> Response:
        raise ApiError("not-available", "The JSON Schema of workflows isn't available in this version.")

    return {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics, "/schema/workflow.json": schema}
