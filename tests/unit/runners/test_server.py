import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pynumaflow.mapper import Datum

from pipeline.blocks.shell import RunnerShell
from pipeline.messages.envelopes import Dispatch, Requester, parse_dead_letter, parse_shard_input
from pipeline.messages.tagged import Tagged
from pipeline.testing.block_suite import ExampleClock
from tests.numbers import rise
from tests.unit.runners.shells import REGISTRY
from udfs.runners.__main__ import main
from udfs.runners.counting import counting
from udfs.runners.server import build_server


def shell() -> RunnerShell:
    return RunnerShell(REGISTRY.create("PASS", {}), REGISTRY.manifest("PASS"), ExampleClock())


def served(runner_shell: RunnerShell, payload: bytes) -> list[Any]:
    server = build_server(runner_shell, sock_path="unused.sock", info_path="unused-info")
    handler: Callable[..., Any] = server.mapper_instance
    epoch = datetime.fromtimestamp(0, UTC)
    return list(asyncio.run(handler([], Datum([], payload, epoch, epoch))))


def dispatch(**changes: Any) -> bytes:
    body: dict[str, Any] = {
        "run_guid": "g",
        "run_name": "n",
        "task": "t",
        "type": "PASS",
        "arguments": {"output": 5},
        "requester": Requester(name="r"),
        "dispatched_at": 0,
        "valid_until": 2**50,
        "shard": 4,
    }
    return Dispatch(**{**body, **changes}).encode()


def test_a_result_carries_its_tag() -> None:
    (message,) = served(shell(), dispatch())
    assert message.tags == ["shard-4"]
    assert parse_shard_input(message.value).kind == "result"


def test_attempts_are_counted_by_type_and_outcome() -> None:
    counted = RunnerShell(
        REGISTRY.create("PASS", {}), REGISTRY.manifest("PASS"), ExampleClock(), on_result=counting("PASS")
    )
    with (
        rise("blockline_attempts_total", type="PASS", outcome="SUCCEEDED") as good,
        rise("blockline_attempts_total", type="PASS", outcome="FAILED") as bad,
        rise("blockline_handling_seconds_count", vertex="runner-pass") as handled,
    ):
        for payload in (dispatch(), dispatch(valid_until=0), dispatch(arguments={"nobody": 1}), b"\x00"):
            served(counted, payload)
    assert (good(), bad(), handled()) == (1, 1, 4)


def test_what_is_out_of_date_is_dropped() -> None:
    (message,) = served(shell(), dispatch(valid_until=0))
    assert message.tags == ["U+005C__DROP__"]


def test_garbage_is_a_dead_letter() -> None:
    (message,) = served(shell(), b"\x00")
    assert message.tags == ["dead"]


def test_an_exception_never_leaves_the_handler() -> None:
    class Broken(RunnerShell):
        async def handle(self, payload: bytes) -> Tagged | None:
            raise RuntimeError("s3cret")

    broken = Broken(REGISTRY.create("PASS", {}), REGISTRY.manifest("PASS"), ExampleClock())
    (message,) = served(broken, b"payload")
    assert message.tags == ["dead"]
    assert "s3cret" not in parse_dead_letter(message.value).reason


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        ([], {}, "usage"),
        (["NOPE"], {}, "no block of type NOPE"),
        (["PASS"], {"BLOCKLINE_PORT": "x"}, "BLOCKLINE_PORT is a number"),
    ],
)
def test_a_process_that_cant_serve_says_why(
    arguments: list[str], environment: dict[str, str], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(arguments, environment) == 2
    assert sentence in capsys.readouterr().err
