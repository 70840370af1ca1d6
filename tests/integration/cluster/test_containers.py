"""The rendered manifest's containers start, find what they need, and do their work."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.limits import LEASE_S
from pipeline.local.plane.links import Status
from pipeline.local.plane.manifest import Kind
from pipeline.local.plane.streams import SinkStream
from pipeline.messages.canonical import decode
from pipeline.messages.envelopes import (
    Deferred,
    Dispatch,
    EntityWrite,
    Outcome,
    OutputRef,
    Requester,
    Result,
    parse_shard_input,
)
from pipeline.messages.outputs import output_text
from pipeline.messages.seal import Seal, Sealed
from pipeline.process.clock import SystemClock
from pipeline.store import types
from pipeline.store.starting import request_body, run_write
from tests.integration.cluster.containers import KEY, Cluster, answer, cluster, datum, until
from tests.product import free_port

CLOCK = SystemClock()
SEAL = Seal(bytes.fromhex(KEY))
KINDS = {"udf": Kind.MAP, "source": Kind.SOURCE, "sink": Kind.SINK}
LEASE = "blockline-slots-0"
OWN_FAMILIES = {
    "cdc": ("blockline_cdc_pending", "blockline_cdc_lag_seconds"),
    "timer": ("blockline_timer_due", "blockline_timer_lateness_seconds"),
    "orchestrator": ("blockline_handling_seconds",),
    "runner-pass": ("blockline_handling_seconds",),
    "atlas-0": ("blockline_sink_writes_total", "blockline_sink_lease_held", "blockline_runs_ended_total"),
    "dead-letter": ("blockline_dead_letters_total",),
}
"""A metric is told by the vertex that it is about."""


def tell(folder: Path, story: Callable[[Cluster], Awaitable[None]]) -> None:
    async def main() -> None:
        async with cluster(folder) as there:
            await story(there)

    asyncio.run(main())


def dispatch(block_type: str, arguments: dict[str, Any], **more: Any) -> bytes:
    now = CLOCK.now_ms()
    return Dispatch(
        run_guid="g",
        run_name="n",
        task="t",
        type=block_type,
        arguments=arguments,
        requester=Requester(name="ann"),
        dispatched_at=now,
        valid_until=now + 600_000,
        shard=0,
        **more,
    ).encode()


async def result_of(there: Cluster, block_type: str, payload: bytes) -> Result:
    link = await there.start(f"runner-{block_type.lower()}").link(Kind.MAP)
    made, tags = await answer(link, payload)
    await link.close()
    assert tags == ("shard-0",)
    result = parse_shard_input(made)
    assert isinstance(result, Result)
    return result


@pytest.mark.timeout(400)
def test_every_container_serves_and_tells_its_numbers(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        there.api.leases[LEASE] = given_back()
        for name, spec in there.vertices.items():
            # The source waits for a Kafka that isn't there.
            more = {"BLOCKLINE_KAFKA": f"127.0.0.1:{free_port()}"} if name == "cdc" else {}
            pod = there.start(name, **more)
            link = await pod.link(next(kind for key, kind in KINDS.items() if key in spec))
            told = await asyncio.to_thread(pod.metrics)
            for family in OWN_FAMILIES.get(name, ()):
                assert f"\n# TYPE {family} " in told, (name, family)
            assert "\nprocess_cpu_seconds_total " in told
            await link.close()
            await pod.end(signal.SIGTERM)

    tell(tmp_path, story)


def test_an_approval_asks_the_directory(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        arguments = {"approvers": {"groups": ["stewards"]}, "title": "May I?", "dueIn": "P3D"}
        result = await result_of(there, "APPROVAL", dispatch("APPROVAL", arguments))
        assert result.outcome is Outcome.WAITING, result.error
        recipients = (result.state or {})["approval"]["recipients"]
        assert [(each["name"], each["email"]) for each in recipients] == [
            ("bo", "bo@example.org"),
            ("cy", "cy@example.org"),
        ]

    tell(tmp_path, story)


def test_metadata_reads_the_catalog(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        table = EntityWrite(type_name="Table", qualified_name="db/t", attributes={"name": "t", "description": "old"})
        guid = (await there.store.upsert([table]))["db/t"]
        arguments = {"asset": {"guid": guid}, "read": ["description"], "description": "new"}
        result = await result_of(there, "METADATA", dispatch("METADATA", arguments))
        assert result.outcome is Outcome.SUCCEEDED, result.error
        assert "old" in str(result.output)

    tell(tmp_path, story)


def test_an_output_that_is_an_entity_is_fetched(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        text, sha256 = output_text({"n": "x" * 5_000})
        name = f"g/before/0/{sha256[:16]}"
        given = {"name": "before", types.OUTPUT_TEXT: text, types.OUTPUT_SHA256: sha256, types.OUTPUT_RUN_GUID: "g"}
        await there.store.upsert([EntityWrite(type_name=types.OUTPUT, qualified_name=name, attributes=given)])
        scope = {
            "run": {"input": {}, "requester": {"name": "ann"}},
            "tasks": {"before": {"status": "SUCCESS"}},
            "asset": None,
            "now": CLOCK.now_ms(),
        }
        reference = OutputRef(task="before", name=name, sha256=sha256, bytes=len(text))
        left = Deferred(arguments={"output": "{{ size(tasks.before.output.n) }}"}, scope=scope, outputs=(reference,))
        result = await result_of(there, "PASS", dispatch("PASS", {}, deferred=left))
        assert result.outcome is Outcome.SUCCEEDED, result.error
        assert "5000" in str(result.output)

    tell(tmp_path, story)


def given_back() -> dict[str, Any]:
    """The lease of a sink that ended well: whoever comes first may have it."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": LEASE,
            "uid": "uid-0",
            "resourceVersion": "1",
            "labels": {"blockline/pipeline": "blockline"},
            "annotations": {"blockline/slots": "0-255"},
        },
        "spec": {"holderIdentity": "", "leaseDurationSeconds": 30},
    }


async def a_run(there: Cluster, name: str) -> str:
    now = CLOCK.now_ms()
    body = request_body(
        spec={
            "dag": {"entrypoint": "a", "exitpoints": ["a"], "tasks": [{"name": "a", "type": "PASS", "arguments": []}]}
        },
        input={},
        requester=Requester(name="ann"),
        asset=None,
        workflow=None,
        comment=None,
        created_at=now,
        blocks={},
    )
    request = SEAL.seal(Sealed.REQUEST, name, body)
    write = run_write(qualified_name=name, request=request, created_at=now, created_by="ann")
    return (await there.store.upsert([write]))[name]


async def ended(there: Cluster, link: SinkStream, guid: str) -> Status:
    """What the sink says of a result; where it takes it, the run is over in Atlas."""
    now = CLOCK.now_ms()
    result = Result(run_guid=guid, task="a", outcome=Outcome.SUCCEEDED, started_at=now, ended_at=now)
    (said,) = (await link.deliver({"1": datum(result.encode())})).values()
    entity = (await there.store.get([guid]))[guid]
    is_over = entity.attributes.get(types.RUN_STATUS) == "SUCCESS"
    assert is_over == (said.status is Status.SUCCESS), said
    assert not is_over or decode(entity.attributes[types.RUN_CONFIG])["engine"]["revision"] == 1
    return said.status


def test_a_vertex_whose_port_is_taken_says_so_and_works_on(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            pod = there.start("runner-pass", BLOCKLINE_METRICS_PORT=str(port))
            link = await pod.link(Kind.MAP)
            made, _ = await answer(link, dispatch("PASS", {"output": 1}))
            await link.close()
        assert getattr(parse_shard_input(made), "outcome", None) is Outcome.SUCCEEDED
        (said,) = [line for line in pod.log.read_text().splitlines() if "No metrics" in line]
        assert f"127.0.0.1:{port} can't be listened on (Address already in use)" in said
        assert "Traceback" not in pod.log.read_text()

    tell(tmp_path, story)


def holder(there: Cluster) -> str:
    found: str = there.api.leases[LEASE]["spec"]["holderIdentity"]
    return found


@pytest.mark.timeout(500)
def test_a_sink_writes_under_its_lease_and_another_takes_over_only_after_a_full_one(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        there.api.leases[LEASE] = given_back()
        first, second = there.start("atlas-0"), there.start("atlas-0")
        links = [await first.link(Kind.SINK), await second.link(Kind.SINK)]
        await until(lambda: bool(holder(there)))
        # Either may have come first.
        winner = 0 if holder(there).startswith("blockline-atlas-0-0/") else 1
        pods = [first, second]
        held = holder(there)
        guid = await a_run(there, "blockline/runs/1")
        assert await ended(there, links[1 - winner], guid) is Status.FAILURE
        assert await ended(there, links[winner], guid) is Status.SUCCESS
        renewed = there.api.leases[LEASE]["metadata"]["resourceVersion"]
        await until(lambda: bool(there.api.leases[LEASE]["metadata"]["resourceVersion"] != renewed))
        assert holder(there) == held, "renewed while nothing comes"

        await pods[winner].end(signal.SIGKILL)
        killed_s = CLOCK.monotonic_s()
        guid = await a_run(there, "blockline/runs/2")
        async with asyncio.timeout(120):
            while await ended(there, links[1 - winner], guid) is not Status.SUCCESS:
                assert holder(there) == held
                await asyncio.sleep(0.2)
        # Of the lease only what was renewed just before the kill may have passed already.
        assert CLOCK.monotonic_s() - killed_s > LEASE_S - 6
        assert holder(there) != held

        await pods[1 - winner].end(signal.SIGTERM)
        assert holder(there) == "", "given back, so nobody waits"
        third = await there.start("atlas-0").link(Kind.SINK)
        guid = await a_run(there, "blockline/runs/3")
        asked = 0
        while await ended(there, third, guid) is not Status.SUCCESS:
            asked += 1
            assert asked < 50
            await asyncio.sleep(0.1)

    tell(tmp_path, story)
