"""Following one run: until it has ended, or as a stream; both fed by the topic, neither polls."""

from collections.abc import AsyncIterator
from typing import Any, Final

from api.counting import STREAMS, WAITERS
from api.hub import Watch
from api.outputs import Kept, with_outputs
from api.run_documents import KnownRun, opened, read, with_document
from api.run_views import view
from api.services import Services
from pipeline.cdc.codec import Notification
from pipeline.core.errors import BlocklineError
from pipeline.core.statuses import RunStatus
from pipeline.directory.port import Person
from pipeline.messages.canonical import encode
from pipeline.store import types

KEEP_ALIVE_S: Final = 15.0
"""A comment this often keeps proxies from closing a quiet stream."""


def may_have_ended(told: Notification) -> bool:
    """What a wait for the end is woken by. The status isn't signed: whoever is woken believes the document alone."""
    return types.RUN_CONFIG in told.attributes and told.attributes.get(types.RUN_STATUS) != RunStatus.PENDING


async def until_over(services: Services, run: KnownRun, watch: Watch, wait_s: float) -> KnownRun:
    """The run when it has ended or the time is up; ``watch`` hears what :func:`may_have_ended`, and was entered before
    ``run`` was read.
    """
    deadline_s = services.clock.monotonic_s() + wait_s
    with WAITERS.track_inprogress():
        while not run.is_over and not services.hub.is_closing:
            is_told, told = await watch.next(deadline_s - services.clock.monotonic_s())
            if not is_told:
                return await read(services, run.guid)
            run = await _newer(services, run, told)
    return run


async def stream(
    services: Services, caller: Person, run: KnownRun, watch: Watch, after: int | None
) -> AsyncIterator[bytes]:
    """Server-Sent Events of the run from now on; ends with it. ``after`` is the last revision that was received."""
    sent = -1 if after is None else after
    kept: Kept = {}
    with STREAMS.track_inprogress():
        while True:
            if run.revision > sent:
                sent = run.revision
                yield _event(sent, view(caller, await with_outputs(services, run, kept)))
            if run.is_over or services.hub.is_closing:
                return
            is_told, told = await watch.next(KEEP_ALIVE_S)
            if is_told:
                run = await _newer(services, run, told)
            else:
                yield b": nothing new\n\n"


async def _newer(services: Services, run: KnownRun, told: Notification | None) -> KnownRun:
    """The run after a notification: out of the notification itself where that carries a verified document."""
    if told is not None and (told.guid != run.guid or types.RUN_CONFIG not in told.attributes):
        return run
    if told is not None:
        try:
            document = opened(services, run.guid, told.attributes[types.RUN_CONFIG])
        except BlocklineError:
            return await read(services, run.guid)
        newer = with_document(run, document, told.at)
        return newer if newer.revision > run.revision else run
    return await read(services, run.guid)


def _event(revision: int, data: dict[str, Any]) -> bytes:
    return b"event: run\nid: %d\ndata: %s\n\n" % (revision, encode(data))
