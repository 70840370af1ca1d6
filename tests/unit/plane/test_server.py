"""The life of a server whose host loses a cancellation, as gRPC's stop does before Python 3.12."""

import asyncio
from typing import Any

import pytest

from pipeline.local.plane.flow import Counters
from pipeline.local.plane.links import ServerEndedError
from pipeline.local.plane.manifest import Kind
from pipeline.local.plane.server import VertexServer
from pipeline.process.clock import SystemClock

DEADLINE_S = 20.0


class LostLink:
    """Is lost as soon as it is there."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[ServerEndedError] = asyncio.get_running_loop().create_future()
        self.lost.set_result(ServerEndedError("gone"))


class SwallowingHost:
    """Swallows the cancellation that comes while it starts or stops a server."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.starts = 0
        self.is_in = asyncio.Event()

    async def start(self, kind: Kind) -> Any:
        self.starts += 1
        await self._swallow("start")
        return LostLink()

    async def stop(self) -> None:
        await self._swallow("stop")

    async def _swallow(self, what: str) -> None:
        if self.at != what:
            return
        self.is_in.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return


@pytest.mark.parametrize("at", ["start", "stop"])
def test_no_other_server_is_started_when_a_cancellation_gets_lost(at: str) -> None:
    async def story() -> None:
        host = SwallowingHost(at)
        server = VertexServer("v", Kind.MAP, host, SystemClock(), Counters())

        async def work(link: Any) -> None:
            await asyncio.Event().wait()

        keeping = asyncio.create_task(server.keep(work))
        async with asyncio.timeout(DEADLINE_S):
            await host.is_in.wait()
            server.ends()
            keeping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await keeping
        assert host.starts == 1

    asyncio.run(story())
