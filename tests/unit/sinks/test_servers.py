"""The edges: what a handler says in Numaflow's words, and that nothing leaves one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.messages.tagged import dead_letter
from sinks.atlas.answers import Answer, Fallback, Ok, Retry
from sinks.atlas.server import build_server as build_atlas_server
from sinks.dead_letter.server import build_server as build_dead_letter_server


@dataclass
class Datum:
    id: str
    value: bytes


async def datums(*idents: str) -> AsyncIterator[Datum]:
    for ident in idents:
        yield Datum(ident, b"x")


def answered(server: Any, *idents: str) -> dict[str, tuple[bool, bool, str | None]]:
    responses = asyncio.run(server.sinker_instance(datums(*idents)))
    return {response.id: (response.success, response.fallback, response.err) for response in responses}


class Sink:
    async def handle(self, batch: Sequence[tuple[str, bytes]]) -> dict[str, Answer]:
        letter = dead_letter(b"x", reason="no", vertex="v", at=1)
        return {"ok": Ok(), "retry": Retry("later"), "dead": Fallback(letter)}


class Raises:
    async def handle(self, batch: Sequence[tuple[str, bytes]]) -> Any:
        raise RuntimeError("a secret")


def test_answers_of_a_sink(tmp_path: Path) -> None:
    handler: Any = Sink()
    server = build_atlas_server(handler, str(tmp_path / "s"), str(tmp_path / "i"))
    assert answered(server, "ok", "retry", "dead", "forgotten") == {
        "ok": (True, False, None),
        "retry": (False, False, "later"),
        "dead": (False, True, None),
        "forgotten": (False, False, "failed"),
    }


def test_nothing_leaves_a_server(tmp_path: Path) -> None:
    handler: Any = Raises()
    for build in (build_atlas_server, build_dead_letter_server):
        [(is_success, is_fallback, error)] = answered(
            build(handler, str(tmp_path / "s"), str(tmp_path / "i")), "a"
        ).values()
        assert (is_success, is_fallback) == (False, False)
        assert error is not None
        assert "secret" not in error
